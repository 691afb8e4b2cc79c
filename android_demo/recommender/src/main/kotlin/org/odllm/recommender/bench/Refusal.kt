package org.odllm.recommender.bench

/**
 * What the worker says instead of an answer.
 *
 * @param exitCode that `odllm` ends with: [BAD_INPUT] or [DEVICE].
 */
internal class Refusal(words: String, val exitCode: Int) : RuntimeException(words) {
    companion object {
        /** The bundle or the request is wrong. */
        const val BAD_INPUT = 2

        /** The device, or the runtime on it, cannot do it. */
        const val DEVICE = 4
    }
}
