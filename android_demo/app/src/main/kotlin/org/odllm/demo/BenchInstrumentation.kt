package org.odllm.demo

import android.app.Activity
import android.app.Instrumentation
import android.os.Bundle
import android.os.Process
import java.io.File
import org.odllm.demo.bench.BenchArguments
import org.odllm.demo.bench.BenchFault
import org.odllm.demo.views.Words
import org.odllm.demo.work.Outcome
import org.odllm.demo.work.attempt
import org.odllm.recommender.bench.BenchFile

/** What `am instrument` prints of a result's and a status' words. */
private const val STREAM = "stream"

/**
 * Answers a file of benchmark requests inside the app, Java and all (docs/benchmarking.md, "Through the app"):
 * `am instrument -w -e requests FILE -e answers FILE org.odllm.demo/.BenchInstrumentation`.
 */
class BenchInstrumentation : Instrumentation() {
    private var requests: String? = null
    private var answers: String? = null

    override fun onCreate(arguments: Bundle?) {
        super.onCreate(arguments)
        silenceRuntime() // the application's own onCreate comes later
        requests = arguments?.getString("requests")
        answers = arguments?.getString("answers")
        start()
    }

    override fun onStart() {
        super.onStart()
        Process.setThreadPriority(Process.THREAD_PRIORITY_DEFAULT) // it is that of the display, which no app's work has
        val words = Words(targetContext.resources)
        val folder = targetContext.getExternalFilesDir(null) ?: targetContext.filesDir
        when (val found = BenchArguments.of(requests, answers, folder)) {
            is BenchArguments.Refused -> end(Activity.RESULT_CANCELED, wordsOf(words, found, folder))
            is BenchArguments.Accepted -> {
                val outcome = attempt { BenchFile.run(found.requests, found.answers, ::report) }
                if (outcome is Outcome.Failed) {
                    end(Activity.RESULT_CANCELED, words.problem(outcome.problem))
                } else {
                    end(Activity.RESULT_OK, words.text(R.string.bench_done, found.answers.path))
                }
            }
        }
    }

    private fun report(number: Int, count: Int, name: String) {
        val status = Bundle()
        status.putInt("current", number)
        status.putInt("numtests", count)
        status.putString(STREAM, "$number/$count $name\n")
        sendStatus(Activity.RESULT_OK, status)
    }

    private fun end(code: Int, said: String) {
        val result = Bundle()
        result.putString(STREAM, "$said\n")
        finish(code, result)
    }

    private fun wordsOf(words: Words, refused: BenchArguments.Refused, folder: File): String =
        when (refused.fault) {
            BenchFault.NO_REQUESTS -> words.text(R.string.bench_no_requests)
            BenchFault.NO_ANSWERS -> words.text(R.string.bench_no_answers, folder.path)
            BenchFault.UNREADABLE_REQUESTS -> words.text(R.string.bench_unreadable, refused.subject)
            BenchFault.ANSWERS_OUTSIDE -> words.text(R.string.bench_outside, refused.subject, folder.path)
        }
}
