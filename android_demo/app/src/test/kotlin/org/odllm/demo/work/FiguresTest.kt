package org.odllm.demo.work

import java.util.Locale
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Test

class FiguresTest {
    private val figures = Figures(Locale.ROOT)

    @Test
    fun `times are read at a glance`() {
        val times = listOf(0.04, 3.14, 9.94, 9.96, 12.4, 999.4, 999.6, 61_000.0).map(figures::time)
        assertEquals(listOf("0.0", "3.1", "9.9", "10", "12", "999", "1.0", "61.0"), times.map { it.amount })
        assertEquals(6, times.count { it.unit == Measure.MILLISECONDS })
        assertEquals(Measure.SECONDS, times.last().unit)
    }

    @Test
    fun `sizes have the unit that fits`() {
        assertEquals(Figure("0", Measure.BYTES), figures.size(0))
        assertEquals(Figure("1023", Measure.BYTES), figures.size(1023))
        assertEquals(Figure("1.0", Measure.KIBIBYTES), figures.size(1024))
        assertEquals(Figure("71", Measure.MEBIBYTES), figures.size(74_304_847))
        assertEquals(Figure("2000", Measure.GIBIBYTES), figures.size(2000L shl 30))
    }

    @Test
    fun `tiny shares are not written as nothing`() {
        assertEquals("3.4", figures.percent(0.0341))
        assertEquals("100.0", figures.percent(1.0))
        assertNull(figures.percent(0.0009))
    }

    @Test
    fun `numbers are written as people there do`() {
        assertEquals("1,5", Figures(Locale.GERMANY).time(1500.0).amount)
    }
}
