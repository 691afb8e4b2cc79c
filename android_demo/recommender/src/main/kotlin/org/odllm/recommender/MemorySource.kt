package org.odllm.recommender

import java.io.File
import java.io.IOException

/**
 * Tells how much memory is free. An app passes what the system tells it:
 *
 * ```
 * .availableMemory {
 *     ActivityManager.MemoryInfo().also(activityManager::getMemoryInfo).availMem
 * }
 * ```
 */
public fun interface MemorySource {
    /** Returns the bytes that are free, or a negative number where that is not known. */
    public fun availableBytes(): Long
}

/** `MemAvailable` of `/proc/meminfo`. */
internal object ProcMemory : MemorySource {
    override fun availableBytes(): Long = try {
        File("/proc/meminfo").useLines { lines ->
            val line = lines.firstOrNull { it.startsWith("MemAvailable:") }
            line?.filter { it.isDigit() }?.toLongOrNull()?.times(1024) ?: -1
        }
    } catch (_: IOException) {
        -1
    }
}
