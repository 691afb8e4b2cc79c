package org.odllm.recommender.bench

import java.io.File
import java.io.IOException
import org.odllm.recommender.Json
import org.odllm.recommender.JsonException

/** Told before each request of a file: its number, from 1, of how many, and its name in the protocol (`memory`). */
public fun interface BenchListener {
    public fun onRequest(number: Int, count: Int, name: String)
}

/** Files of requests and of answers, as `odllm phone run --transport instrumentation` exchanges them with an app. */
public object BenchFile {
    /**
     * Answers every line of a file, in order, with a line of another file, which is written at once: what was answered
     * before the process died is there. Empty lines are passed over.
     *
     * @param requests read as a whole before the first is answered.
     * @param answers is made, with its folder, or replaced.
     * @throws IOException a file cannot be read or written.
     */
    @JvmStatic
    @JvmOverloads
    @Throws(IOException::class)
    public fun run(requests: File, answers: File, listener: BenchListener = BenchListener { _, _, _ -> }) {
        val lines = requests.readLines().filter { it.isNotBlank() }
        answers.absoluteFile.parentFile?.mkdirs()
        answers.outputStream().use { out ->
            BenchWorker().use { worker ->
                lines.forEachIndexed { index, line ->
                    listener.onRequest(index + 1, lines.size, nameOf(line))
                    out.write((worker.answer(line) + "\n").toByteArray())
                    out.flush()
                }
            }
        }
    }

    private fun nameOf(request: String): String = try {
        Json.parse(request)["do"].text
    } catch (_: JsonException) {
        "?"
    }
}
