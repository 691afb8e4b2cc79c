package org.odllm.demo.home

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

class HomeLayoutTest {
    @Test
    fun `a phone has two panes upright and two columns lying`() {
        assertEquals(HomeLayout.PANES, HomeLayout.of(411, 820, 1f))
        assertEquals(HomeLayout.COLUMNS, HomeLayout.of(820, 360, 1f))
    }

    @Test
    fun `letters of twice the size make a page that scrolls`() {
        assertEquals(HomeLayout.STACKED, HomeLayout.of(411, 820, 2f))
        assertEquals(HomeLayout.STACKED, HomeLayout.of(820, 360, 2f))
    }

    @Test
    fun `a keyboard leaves room for one pane`() {
        assertTrue(HomeLayout.isShort(820 - 350, 1f))
        assertFalse(HomeLayout.isShort(820 - 24, 1f))
    }

    @Test
    fun `a small window scrolls and small letters make no room`() {
        assertEquals(HomeLayout.STACKED, HomeLayout.of(411, 400, 1f))
        assertEquals(HomeLayout.STACKED, HomeLayout.of(411, 600, 0.85f))
    }
}
