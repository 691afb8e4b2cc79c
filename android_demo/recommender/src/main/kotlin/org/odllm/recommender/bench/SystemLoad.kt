package org.odllm.recommender.bench

import java.io.File
import java.io.IOException

/** How busy all processors are, from `/proc/stat`: closed to apps since Android 8, open to programs of the shell. */
internal object SystemLoad {
    private const val SECONDS_PER_TICK = 0.01

    /** Returns the seconds that all processors were busy since the system started; null where it does not tell. */
    fun busySeconds(): Double? {
        val words = try {
            File("/proc/stat").bufferedReader().use { it.readLine() }.orEmpty().split(' ')
        } catch (_: IOException) {
            return null
        }
        if (words[0] != "cpu" || words.size < 5) return null
        return (words[2].toLong() + words[3].toLong() + words[4].toLong()) * SECONDS_PER_TICK // user, nice, system
    }
}
