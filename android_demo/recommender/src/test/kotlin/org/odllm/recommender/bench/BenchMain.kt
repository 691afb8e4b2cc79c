package org.odllm.recommender.bench

import java.io.File

/**
 * The worker on this machine's JVM, to be driven as a device is: requests from standard input, answers to standard
 * output; or, with two arguments, a file of requests and one of answers, as an app gets them.
 */
internal object BenchMain {
    @JvmStatic
    fun main(arguments: Array<String>) {
        if (arguments.size == 2) {
            BenchFile.run(File(arguments[0]), File(arguments[1])) { number, count, name ->
                System.err.println("$number of $count: $name")
            }
            return
        }
        BenchWorker().use { worker ->
            generateSequence(::readLine).forEach {
                System.out.write((worker.answer(it) + "\n").toByteArray())
                System.out.flush()
            }
        }
    }
}
