package org.odllm.recommender.bench

import java.io.Closeable
import org.odllm.recommender.JsonValue

/** The bundle that is opened for timing, and stays open from request to request. */
internal class TimedBundle private constructor(private val opened: AskedBundle) : Closeable {
    private var lastWarmUpMs = 0.0

    /** The reply to the request that opened it. */
    fun reply(): String = Reply().field("call_ms", lastWarmUpMs).text()

    /** Makes timed calls: of elapsed time, and of processor time over all threads of the process. */
    fun round(request: JsonValue): String {
        val first = request["first"].int
        val calls = request.count("calls", otherwise = 0)
        val (wall, cpu) = List(2) { DoubleArray(calls) }
        ProcessorClock().use { clock ->
            System.gc() // what earlier rounds left is not collected in this one
            val busyBefore = SystemLoad.busySeconds()
            val (started, ownBefore) = System.nanoTime() to clock.beginNs()
            for (call in 0 until calls) {
                val cpuBegin = clock.beginNs()
                val begin = System.nanoTime()
                opened.call(first + call)
                val end = System.nanoTime()
                cpu[call] = (clock.endNs() - cpuBegin) / 1e6
                wall[call] = (end - begin) / 1e6
            }
            val (elapsedS, ownS) = (System.nanoTime() - started) / 1e9 to (clock.endNs() - ownBefore) / 1e9
            val busyAfter = SystemLoad.busySeconds()
            val others = if (busyBefore == null || busyAfter == null) null
            else maxOf(0.0, busyAfter - busyBefore - ownS) / elapsedS
            return Reply().field("wall_ms", wall).field("cpu_ms", cpu).field("other_load_cores", others).text()
        }
    }

    /** Makes untimed calls and looks at the process's own memory now and then. */
    fun soak(request: JsonValue): String {
        val calls = request.count("calls", otherwise = 0)
        val every = request.count("every", otherwise = 0)
        val (seen, bytes) = List(2) { LongArray(calls / every) }
        ProcessMemory().use { memory ->
            for (call in 1..calls) {
                opened.call(call)
                if (call % every != 0) continue
                val now = memory.now()
                seen[call / every - 1] = call.toLong()
                bytes[call / every - 1] = if (now.anonymous < 0) now.total else now.anonymous
            }
        }
        return Reply().field("calls", seen).field("anonymous_bytes", bytes).text()
    }

    override fun close() = opened.close()

    companion object {
        /** Opens a bundle and makes the calls that do not count. */
        fun open(request: JsonValue): TimedBundle {
            val calls = request.count("warm_up_calls", otherwise = 3)
            val opened = AskedBundle(CellRequest.of(request))
            try {
                return TimedBundle(opened).apply { repeat(calls) { lastWarmUpMs = timeMs { opened.call(it) }.second } }
            } catch (error: Throwable) {
                opened.close()
                throw error
            }
        }
    }
}
