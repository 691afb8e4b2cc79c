package org.odllm.recommender.bench

import java.io.File
import java.lang.management.ManagementFactory
import java.nio.ByteBuffer
import java.util.concurrent.CountDownLatch
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** What the worker reads of its own process. */
class ProcessTest {
    @get:Rule
    val folder = TemporaryFolder()

    @Test
    fun fieldsAreFoundByTheirWholeName() {
        val file = folder.newFile().apply { writeText("Name:\tx\nVmRSSx:\t7 kB\nVmRSS:\t  12345 kB\nLast:\t3") }
        ProcFile(file).use {
            it.read()
            assertEquals(12345, it.field("VmRSS"))
            assertEquals(3, it.field("Last"))
            assertEquals(-1, it.field("Name"))
            assertEquals(-1, it.field("VmHWM"))
        }
    }

    @Test
    fun filesAreReadAnewAndMayGrow() {
        val file = folder.newFile().apply { writeText("12 3\n") }
        ProcFile(file).use {
            it.read()
            assertEquals(12, it.firstNumber())
            file.writeText("x\n".repeat(5000) + "End: 4")
            it.read()
            assertEquals(-1, it.firstNumber())
            assertEquals(4, it.field("End"))
        }
    }

    @Test
    fun memoryThatIsTakenIsSeen() {
        val sampler = MemorySampler()
        val before = ProcessMemory().use { it.now().anonymous }
        val taken = ByteBuffer.allocateDirect(TAKEN)
        for (at in 0 until TAKEN step PAGE) taken.put(at, 1)
        sampler.close()
        val grew = sampler.anonymousPeak - before
        assertTrue("$grew of ${taken.capacity()} bytes", grew >= TAKEN / 2)
        val now = ProcessMemory().use { it.now() }
        assertTrue("${now.total} of ${now.peak} bytes", now.peak >= now.total)
    }

    @Test
    fun clockCountsAtLeastWhatTheCallingThreadTook() {
        assumeTrue("this kernel has no schedstat", File("/proc/thread-self/schedstat").canRead())
        val threads = ManagementFactory.getThreadMXBean()
        ProcessorClock().use { clock ->
            repeat(20) {
                val begin = clock.beginNs()
                val from = threads.currentThreadCpuTime
                var to = from
                while (to < from + 300_000) to = threads.currentThreadCpuTime
                assertTrue(clock.endNs() - begin >= to - from)
            }
        }
    }

    /** A thread that waits in Java's eyes may still run for a moment. */
    @Test(timeout = 60_000)
    fun clockCountsOtherThreadsAlsoWhenTheyHaveEnded() {
        assumeTrue("this kernel has no schedstat", File("/proc/thread-self/schedstat").canRead())
        val (begun, worked, may) = List(3) { CountDownLatch(1) }
        val other = Thread {
            begun.await()
            val threads = ManagementFactory.getThreadMXBean()
            val from = threads.currentThreadCpuTime
            while (threads.currentThreadCpuTime < from + WORK_NS) continue
            worked.countDown()
            may.await()
        }
        other.start()
        ProcessorClock().use { clock ->
            val begin = clock.beginNs()
            begun.countDown()
            worked.await()
            while (clock.endNs() - begin < WORK_NS) Thread.sleep(1)
            val busy = clock.endNs()
            may.countDown()
            other.join()
            assertTrue(clock.endNs() >= busy)
        }
    }

    @Test
    fun systemTellsHowBusyItIs() {
        assertNotNull(SystemLoad.busySeconds())
    }

    private companion object {
        const val WORK_NS = 20_000_000L
        const val PAGE = 4096
        const val TAKEN = 64 shl 20
    }
}
