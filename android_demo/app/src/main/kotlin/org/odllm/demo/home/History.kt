package org.odllm.demo.home

import org.odllm.demo.recommend.Item

private const val MOST_UNDONE = 50

/**
 * What was tapped, oldest first, with what it was before.
 *
 * @property items with the titles they had, so that they can be named when another catalogue lacks them.
 */
data class History(val items: List<Item> = emptyList(), private val past: List<List<Item>> = emptyList()) {
    /** Whether there is something to undo. */
    val canUndo: Boolean get() = past.isNotEmpty()

    /** Return it with one more item. */
    fun plus(item: Item): History = plus(listOf(item))

    /** Return it with more items, which one undo takes away. */
    fun plus(more: List<Item>): History = if (more.isEmpty()) this else become(items + more)

    /** Return it without one item. */
    fun without(index: Int): History =
        if (index in items.indices) become(items.filterIndexed { other, _ -> other != index }) else this

    /** Return it with an item somewhere else. */
    fun moved(from: Int, to: Int): History {
        if (from !in items.indices || to !in items.indices || from == to) return this
        return become(items.toMutableList().apply { add(to, removeAt(from)) })
    }

    /** Return none. */
    fun cleared(): History = if (items.isEmpty()) this else become(emptyList())

    /** Return what it was before the last change. */
    fun undone(): History = if (canUndo) History(past.last(), past.dropLast(1)) else this

    private fun become(next: List<Item>) = History(next, (past + listOf(items)).takeLast(MOST_UNDONE))
}
