package org.odllm.recommender

import java.util.Arrays

/** The item table: ids and titles by row, and rows by id. */
internal class ItemTable(expected: Int) {
    val ids = PackedTexts(expected)
    val titles = PackedTexts(expected)

    /** Rows by their ids' hashes, an open-addressed table: `row + 1`, 0 where nothing is. */
    private var slots = IntArray(slotsFor(expected))

    val size get() = ids.size

    /** Appends an item. Returns the UTF-8 form of its id, or null, adding nothing, where there is one of that id. */
    fun add(id: String, title: String): ByteArray? {
        if (slotsFor(size + 1) > slots.size) rebuild(slotsFor(size + 1))
        val bytes = id.toByteArray(Charsets.UTF_8)
        val slot = slotOf(bytes)
        if (slots[slot] != 0) return null
        ids.add(bytes)
        titles.add(title.toByteArray(Charsets.UTF_8))
        slots[slot] = size
        return bytes
    }

    /** Returns the row of an id, or -1. */
    fun rowOf(id: String): Int = slots[slotOf(id.toByteArray(Charsets.UTF_8))] - 1

    /** Returns the slot where an id is, or, if it is not in the table, would be. */
    private fun slotOf(id: ByteArray): Int {
        var slot = spread(Arrays.hashCode(id)) and slots.size - 1
        while (slots[slot] != 0 && !ids.isAt(slots[slot] - 1, id)) slot = slot + 1 and slots.size - 1
        return slot
    }

    private fun rebuild(size: Int) {
        slots = IntArray(size)
        for (row in 0 until this.size) slots[slotOf(ids[row].toByteArray(Charsets.UTF_8))] = row + 1
    }

    private fun spread(hash: Int) = (hash * -0x61C88647).let { it xor (it ushr 15) }

    /** Returns a power of two of which at most five eighths are used. */
    private fun slotsFor(items: Int): Int = Integer.highestOneBit(maxOf(items * 8L / 5, 4L).toInt()) shl 1
}
