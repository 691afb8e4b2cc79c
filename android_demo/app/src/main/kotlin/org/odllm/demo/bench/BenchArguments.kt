package org.odllm.demo.bench

import java.io.File

/** What is wrong with the arguments of a benchmark; the resources have words for each. */
enum class BenchFault { NO_REQUESTS, NO_ANSWERS, UNREADABLE_REQUESTS, ANSWERS_OUTSIDE }

/** The arguments of a benchmark, looked at. */
sealed class BenchArguments {
    data class Accepted(val requests: File, val answers: File) : BenchArguments()

    /** @property subject the file that it is about; empty where it is missing. */
    data class Refused(val fault: BenchFault, val subject: String = "") : BenchArguments()

    companion object {
        /**
         * Look at the arguments.
         *
         * @param folder the only one in which answers may lie.
         */
        fun of(requests: String?, answers: String?, folder: File): BenchArguments {
            if (requests.isNullOrEmpty()) return Refused(BenchFault.NO_REQUESTS)
            if (answers.isNullOrEmpty()) return Refused(BenchFault.NO_ANSWERS)
            val asked = File(requests)
            if (!asked.isFile || !asked.canRead()) return Refused(BenchFault.UNREADABLE_REQUESTS, requests)
            val answered = File(answers).canonicalFile // /sdcard leads somewhere else
            val isInside = answered.parentFile?.startsWith(folder.canonicalFile) == true
            return if (isInside) Accepted(asked, answered) else Refused(BenchFault.ANSWERS_OUTSIDE, answers)
        }
    }
}
