package org.odllm.demo.recommend

import java.io.File
import java.io.IOException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import org.odllm.demo.work.Outcome
import org.odllm.demo.work.attempt

class ProblemTest {
    private fun kindOf(failure: Throwable) = (attempt { throw failure } as Outcome.Failed).problem.kind

    @Test
    fun `failures of the system become words`() {
        assertEquals(ProblemKind.FILE_UNREADABLE, kindOf(IOException("no space left")))
        assertEquals(ProblemKind.FILE_UNREADABLE, kindOf(SecurityException("permission was withdrawn")))
        assertEquals(ProblemKind.NOT_ENOUGH_MEMORY, kindOf(OutOfMemoryError()))
        assertEquals(ProblemKind.UNEXPECTED, kindOf(UnsatisfiedLinkError("no library")))
        assertEquals(ProblemKind.UNEXPECTED, kindOf(IllegalStateException()))
    }

    @Test
    fun `a failure without words is named`() {
        assertEquals("IllegalStateException", problemOf(IllegalStateException()).detail)
    }

    @Test
    fun `defects are not caught`() {
        assertThrows(AssertionError::class.java) { attempt { throw AssertionError("a defect") } }
    }

    @Test
    fun `this process holds memory and an unknown one does not say`() {
        assertTrue(ProcessMemory().residentBytes()!! > 1 shl 20)
        assertNull(ProcessMemory(File("/proc/self/absent")).residentBytes())
    }
}
