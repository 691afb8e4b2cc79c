package org.odllm.recommender.bench

import java.io.Closeable
import java.io.File

/**
 * Resident memory of this process, in bytes.
 *
 * @property total everything.
 * @property anonymous the process's own, -1 where the kernel does not tell (before Linux 4.5). Shared memory is written
 *     to swap, not dropped: it counts as the process's own.
 * @property fileBacked could be dropped and read again, such as mapped weights; -1 where the kernel does not tell.
 * @property peak the most that was ever resident at once, as the kernel kept it.
 */
internal class Resident(val total: Long, val anonymous: Long, val fileBacked: Long, val peak: Long)

/** Reads this process's memory from `/proc/self/status`. */
internal class ProcessMemory : Closeable {
    private val status = ProcFile.openOrNull(File("/proc/self/status"))
        ?: throw Refusal("/proc/self/status does not tell this process's memory", Refusal.DEVICE)

    fun now(): Resident {
        status.read()
        val total = bytes("VmRSS")
        val anonymous = bytes("RssAnon")
        if (total < 0) throw Refusal("/proc/self/status does not tell this process's memory", Refusal.DEVICE)
        return Resident(
            total,
            if (anonymous < 0) -1 else anonymous + bytes("RssShmem").coerceAtLeast(0),
            bytes("RssFile"),
            bytes("VmHWM"),
        )
    }

    override fun close() = status.close()

    private fun bytes(name: String): Long = status.field(name).let { if (it < 0) -1 else it * 1024 }
}

/**
 * A thread that watches what the kernel keeps no peaks of. For memory passes only: it takes time.
 *
 * @throws Refusal by [close], too: the system no longer tells.
 */
internal class MemorySampler : Closeable {
    /** The most bytes of the process's own so far; -1 where the kernel does not tell. */
    @Volatile
    var anonymousPeak = -1L
        private set

    /** The most bytes mapped from files so far; -1 where the kernel does not tell. */
    @Volatile
    var fileBackedPeak = -1L
        private set

    private val memory = ProcessMemory()

    @Volatile
    private var isStopping = false

    @Volatile
    private var failure: Exception? = null
    private val thread = Thread({ watch() }, "memory-sampler").apply { isDaemon = true }

    init {
        sample()
        thread.start()
    }

    /** Ends the watch, with a last look. */
    override fun close() {
        isStopping = true
        thread.join()
        memory.use { sample() }
        failure?.let { throw Refusal("this process's memory could not be watched: $it", Refusal.DEVICE) }
    }

    /** Nothing may leave a thread that nobody waits for: it would end an app. */
    private fun watch() = try {
        while (!isStopping) {
            sample()
            Thread.sleep(SAMPLE_EVERY_MS)
        }
    } catch (error: Exception) {
        failure = error
    }

    private fun sample() {
        val now = memory.now()
        anonymousPeak = maxOf(anonymousPeak, now.anonymous)
        fileBackedPeak = maxOf(fileBackedPeak, now.fileBacked)
    }

    private companion object {
        const val SAMPLE_EVERY_MS = 3L
    }
}
