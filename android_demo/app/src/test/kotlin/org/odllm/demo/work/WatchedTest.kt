package org.odllm.demo.work

import java.io.Closeable
import org.junit.Assert.assertEquals
import org.junit.Test

class WatchedTest {
    private val watched = Watched(0)

    @Test
    fun `a watcher hears the value it finds and every other one after it`() {
        val heard = ArrayList<Int>()
        watched.watch { heard.add(it) }
        watched.set(1)
        watched.set(1)
        watched.update { it + 1 }
        assertEquals(listOf(0, 1, 2), heard)
    }

    @Test
    fun `a closed watcher hears nothing, even if it is closed by the one before it`() {
        val heard = ArrayList<Int>()
        var second: Closeable? = null
        watched.watch { if (it == 1) second?.close() }
        second = watched.watch { heard.add(it) }
        watched.set(1)
        assertEquals(listOf(0), heard)
    }
}
