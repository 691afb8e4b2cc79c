package org.odllm.recommender

import java.io.File
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Test

/** However often it is asked, it holds what it held: resident memory, native memory included, does not grow. */
class FlatMemoryTest {
    @Test
    fun twoThousandCalls() = TestBundles.open("loop").use { recommender ->
        assertFlat(2000) { recommender.recommend(history(it), 5, if (it % 2 == 0) listOf("i3") else emptyList()) }
    }

    @Test
    fun twoThousandCallsOfSessionsThatAreCopiedAndClosed() = TestBundles.open("loop").use { recommender ->
        assertFlat(2000) {
            val session = recommender.startSession()
            session.recommend(history(it))
            session.copy().use { copy -> copy.recommend(history(it) + "i9") }
            session.close()
        }
    }

    @Test
    fun openingsAndClosings() = assertFlat(100) { TestBundles.open("loop").use { it.recommend(listOf("i1")) } }

    private fun history(call: Int) = List(1 + call % 7) { "i${(call + it) % 60}" }

    /**
     * The heap comes and goes by megabytes at any time, a leak grows in every part: so the parts' median must be flat.
     */
    private fun assertFlat(calls: Int, ask: (Int) -> Unit) {
        assumeTrue("no /proc here", File("/proc/self/status").exists())
        repeat(calls / PARTS, ask)
        var before = residentBytes()
        val grown = (0 until PARTS).map { part ->
            repeat(calls / PARTS) { ask(part * calls / PARTS + it) }
            val now = residentBytes()
            (now - before).also { before = now }
        }
        assertTrue("$grown bytes more after ${calls / PARTS} calls each", grown.sorted()[PARTS / 2] < MOST_GROWTH_BYTES)
    }

    private fun residentBytes(): Long {
        repeat(2) {
            System.gc()
            System.runFinalization()
        }
        val line = File("/proc/self/status").readLines().first { it.startsWith("VmRSS:") }
        return line.filter { it.isDigit() }.toLong() * 1024
    }

    private companion object {
        const val PARTS = 5

        /** Of a part. A cache that each call left behind would be several times as much. */
        const val MOST_GROWTH_BYTES = 1L shl 20
    }
}
