package org.odllm.demo.home

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertSame
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.demo.recommend.Item

class HistoryTest {
    @get:Rule
    val folder = TemporaryFolder()

    private fun item(id: String) = Item(id, "title of $id")

    @Test
    fun `a change that changes nothing is not undone`() {
        val history = History(listOf(item("1")))
        assertSame(history, history.without(1))
        assertSame(history, history.moved(0, -1))
        assertSame(history, history.moved(0, 0))
        val empty = History()
        assertSame(empty, empty.cleared())
        assertSame(empty, empty.undone())
    }

    @Test
    fun `fifty changes can be undone and no more`() {
        var history = History()
        for (number in 1..60) history = history.plus(item("$number"))
        var undone = 0
        while (history.canUndo) {
            history = history.undone()
            undone++
        }
        assertEquals(50, undone)
        assertEquals(10, history.items.size)
    }

    @Test
    fun `a file gives back any titles`() {
        val file = HistoryFile(File(folder.root, "history"))
        val odd = listOf(Item("1", "Tab\tand\nline\r"), Item("a\\b", "\\t is no tab \\\\"))
        val items = odd + listOf(Item("é", ""), Item("1", "again"))
        file.write(items)
        assertEquals(items, file.read())
    }

    @Test
    fun `no file is no history and lines that are none are passed over`() {
        val file = File(folder.root, "history")
        assertTrue(HistoryFile(file).read().isEmpty())
        file.writeText("7\tSeven\nwithout a tab\n")
        assertEquals(listOf(Item("7", "Seven")), HistoryFile(file).read())
    }

    @Test
    fun `a written file leaves nothing beside it`() {
        HistoryFile(File(folder.root, "history")).write(listOf(item("1")))
        assertEquals(listOf("history"), folder.root.list()!!.toList())
        assertFalse(File(folder.root, "history").readText().isEmpty())
    }
}
