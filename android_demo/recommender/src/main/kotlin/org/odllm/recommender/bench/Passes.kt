package org.odllm.recommender.bench

import java.io.File
import kotlin.math.abs
import org.odllm.recommender.JsonValue
import org.odllm.recommender.Ranked
import org.odllm.recommender.RecommenderRuntime
import org.odllm.recommender.SessionMemory

/** What is found out about a bundle before it is timed. Each opens it anew, and closes it. */
internal object Passes {
    private const val SCORE_TOLERANCE = 1e-3f

    /**
     * Opens cold and warm. An app can neither drop files from the system's page cache nor ask what is in it: how cold
     * the first open was stays unknown.
     */
    fun load(request: JsonValue): String {
        val cell = CellRequest.of(request)
        val warmLoads = request.count("warm_loads", otherwise = 3, least = 0)
        RecommenderRuntime.version // loads the runtime's libraries, which are not counted, as imports are not elsewhere
        val cold = openMs(cell)
        val warm = DoubleArray(warmLoads) { openMs(cell) }
        return Reply().field("cold_ms", cold).field("page_cache", "unknown").field("warm_ms", warm).text()
    }

    private fun openMs(cell: CellRequest): Double {
        val (opened, ms) = timeMs { AskedBundle(cell) }
        opened.close()
        return ms
    }

    /** Runs once under the profiler, then answers questions. */
    fun inspect(request: JsonValue): String = inScratchFolder { folder ->
        val cell = CellRequest.of(request)
        AskedBundle(cell, File(folder, "profile").path).use { opened ->
            opened.call(0)
            val nodes = opened.profiledNodes()
            val answers = request.find("questions")?.list.orEmpty().map { question ->
                opened.ask(question["history"].rows(), question.find("blocked")?.rows() ?: LongArray(0))
            }
            Reply().nodes("nodes", nodes).answers("answers", answers).field("session_options", sessionOptions(cell))
                .field("onnxruntime", RecommenderRuntime.version).field("runtime_build", null as String?).text()
        }
    }

    /** Opens and calls under a memory sampler. */
    fun memory(request: JsonValue): String {
        val cell = CellRequest.of(request)
        val calls = request.count("calls", otherwise = 20)
        RecommenderRuntime.version
        ProcessMemory().use { memory ->
            val before = memory.now().total
            val sampler = MemorySampler()
            sampler.use { AskedBundle(cell).use { opened -> repeat(calls) { opened.call(it) } } }
            return Reply().bytes("before_open_bytes", before).bytes("peak_memory_bytes", memory.now().peak)
                .bytes("anonymous_peak_bytes", sampler.anonymousPeak)
                .bytes("file_backed_peak_bytes", sampler.fileBackedPeak).text()
        }
    }

    /** Makes calls from nothing, with one item new, and with nothing new, by turns. */
    fun phases(request: JsonValue): String {
        val cell = CellRequest.of(request)
        val calls = request.count("calls", otherwise = 20)
        val (whole, incremental, repeated) = List(3) { DoubleArray(calls) }
        AskedBundle(cell).use { opened ->
            phase(opened, 0) // the first one only warms up
            for (number in 0 until calls) {
                val times = phase(opened, number)
                incremental[number] = times[0]
                repeated[number] = times[1]
                whole[number] = times[2]
            }
        }
        return Reply().field("whole_ms", whole).field("incremental_ms", incremental)
            .field("repeated_ms", repeated).text()
    }

    /** Returns the times with one item new, with nothing new, and from nothing, for the window of one history. */
    private fun phase(opened: AskedBundle, number: Int): DoubleArray {
        val all = opened.history(number)
        val history = all.copyOfRange(maxOf(0, all.size - opened.manifest.prompt.maxItems), all.size)
        val memory = SessionMemory()
        try {
            if (history.size > 1) opened.ask(history.copyOf(history.size - 1), memory = memory)
            val (kept, oneNew) = timeMs { opened.ask(history, memory = memory) }
            val nothingNew = timeMs { opened.ask(history, memory = memory) }.second
            val (fromNothing, whole) = timeMs { opened.ask(history) }
            checkSameBest(kept, fromNothing)
            return doubleArrayOf(oneNew, nothingNew, whole)
        } finally {
            memory.close()
        }
    }

    /** A session that reused the wrong tokens would answer another question, and fast. Ties may stand otherwise. */
    private fun checkSameBest(kept: Ranked, whole: Ranked) {
        val (found, expected) = (kept.scores.firstOrNull() ?: return) to whole.scores[0]
        if (abs(found - expected) <= SCORE_TOLERANCE * maxOf(1f, abs(expected))) return
        throw Refusal("a session's best score is $found, a whole call's $expected: its cache is wrong", Refusal.DEVICE)
    }

    /** As they were set: Java's API does not tell a session's options. */
    private fun sessionOptions(cell: CellRequest) = mapOf(
        "intra_op_num_threads" to cell.threads.toString(),
        "inter_op_num_threads" to "1",
        "execution_mode" to "ORT_SEQUENTIAL",
        "graph_optimization_level" to "ORT_ENABLE_ALL",
        "session.intra_op.allow_spinning" to "0",
    )
}

/** Returns what [act] returned and how many milliseconds it took. */
internal inline fun <Found> timeMs(act: () -> Found): Pair<Found, Double> {
    val started = System.nanoTime()
    val found = act()
    return found to (System.nanoTime() - started) / 1e6
}
