package org.odllm.recommender.bench

import java.io.Closeable
import java.io.File
import java.io.IOException

/**
 * Processor time of all threads of this process, without anything native.
 *
 * It adds up `schedstat` of every thread, which counts nanoseconds. The kernel brings a thread's count up to date when
 * the thread is switched out; of the calling thread, which runs, a yield makes it do so. What the kernel counts for the
 * whole process, `/proc/self/stat`, goes in steps of 10 ms, and is read where there is no `schedstat`.
 *
 * Threads are looked for when the clock is made and by [lookForThreads]; the calling thread is to stay the same.
 */
internal class ProcessorClock : Closeable {
    private val own = ProcFile.openOrNull(File("/proc/thread-self/schedstat"))?.let(::counting)
    private val others = HashMap<String, OtherThread>()
    private val ownName = if (own == null) null else File("/proc/thread-self").canonicalFile.name

    init {
        lookForThreads()
    }

    /** Takes in the threads that were started since. */
    fun lookForThreads() {
        if (own == null) return
        for (name in File("/proc/self/task").list().orEmpty()) {
            if (name == ownName || name in others) continue
            ProcFile.openOrNull(File("/proc/self/task/$name/schedstat"))?.let { others[name] = OtherThread(it) }
        }
    }

    /** Returns nanoseconds, for the beginning of what is measured: reading the other threads is before it. */
    fun beginNs(): Long = if (own == null) coarseNs() else othersNs() + ownNs(own)

    /** Returns nanoseconds, for the end of what is measured: reading the other threads is behind it. */
    fun endNs(): Long = if (own == null) coarseNs() else ownNs(own) + othersNs()

    override fun close() {
        own?.close()
        for (thread in others.values) thread.file.close()
    }

    /** Some kernels have the file and count nothing in it. */
    private fun counting(file: ProcFile): ProcFile? {
        if (file.firstNumber() > 0) return file
        file.close()
        return null
    }

    private fun ownNs(file: ProcFile): Long {
        Thread.yield()
        file.read()
        return file.firstNumber()
    }

    private fun othersNs(): Long {
        var total = 0L
        for (thread in others.values) total += thread.readNs()
        return total
    }

    private fun coarseNs(): Long {
        val fields = File("/proc/self/stat").readText().substringAfterLast(')').trim().split(' ')
        return (fields[USER_TIME].toLong() + fields[USER_TIME + 1].toLong()) * NS_PER_TICK
    }

    /** Another thread; one that has ended keeps what it had. */
    private class OtherThread(val file: ProcFile) {
        private var lastNs = 0L

        fun readNs(): Long {
            try {
                file.read()
                lastNs = maxOf(lastNs, file.firstNumber())
            } catch (_: IOException) {
                // Ended: its time stays in the sum.
            }
            return lastNs
        }
    }

    private companion object {
        /** Fields of `/proc/self/stat`, counted behind the program's name: user time, and next to it system time. */
        const val USER_TIME = 11

        /** Linux counts in hundredths of a second for programs, whatever its own clock is (`USER_HZ`). */
        const val NS_PER_TICK = 10_000_000L
    }
}
