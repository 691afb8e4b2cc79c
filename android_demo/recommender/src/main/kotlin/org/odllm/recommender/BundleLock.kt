package org.odllm.recommender

import java.io.File
import java.io.IOException
import java.util.concurrent.ConcurrentHashMap

/**
 * Keeps openings and updates of one bundle in this process apart. Several processes do not share a bundle's updates.
 */
internal object BundleLock {
    private val locks = ConcurrentHashMap<String, Any>()

    fun <T> of(bundle: File, work: () -> T): T {
        val own = Any()
        return synchronized(locks.putIfAbsent(path(bundle), own) ?: own, work)
    }

    /** One path for all names of a folder. Where links go in circles, no folder is there. */
    private fun path(bundle: File): String = try {
        bundle.canonicalPath
    } catch (_: IOException) {
        bundle.absolutePath
    }
}
