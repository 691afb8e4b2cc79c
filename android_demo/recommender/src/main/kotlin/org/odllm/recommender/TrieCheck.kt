package org.odllm.recommender

/**
 * Do a catalogue's arrays form one trie? The graph gathers from them without looking: a number that is wrong by one
 * leads outside an array, or to an item that is not the one whose codes were scored.
 */
internal class TrieCheck(private val catalog: CatalogArrays) {
    private val nodes = catalog.nodes
    private val items = catalog.items
    private val levels = catalog.levels
    private val start = catalog.childStart
    private val code = catalog.nodeCode
    private val live = catalog.liveItems

    private class Contradiction(message: String) : Exception(message)

    /** Returns the first contradiction, or null. */
    fun firstContradiction(): String? = try {
        checkSizes()
        checkChildStart()
        val bounds = depthBounds()
        val parent = parents()
        checkCodes(bounds, parent)
        checkItems(parent)
        checkLiveItems()
        null
    } catch (found: Contradiction) {
        found.message
    }

    private fun checkSizes() {
        val sizes = catalog.codeSizes
        val codes = sizes.fold(0L) { sum, size -> sum + size }
        if (items < 1 || nodes < 1 || sizes.any { it < 1 } || codes > Int.MAX_VALUE) {
            contradict("$items items, $nodes nodes and code sizes ${sizes.toList()} are no catalogue's")
        }
    }

    private fun checkChildStart() {
        if (start[0] != 1 || start[nodes].toLong() != nodes.toLong() + items) {
            contradict("child_start goes from ${start[0]} to ${start[nodes]}, not from 1 to ${nodes.toLong() + items}")
        }
        for (node in 0 until nodes) {
            if (start[node + 1] <= start[node]) contradict("child_start[$node] leaves a node without children")
        }
    }

    /** Returns `[levels + 2]` the first node of each depth, and the first item at last. */
    private fun depthBounds(): IntArray {
        val bounds = mutableListOf(0, 1)
        while (bounds.size <= levels + 1 && bounds.last() < nodes) bounds.add(start[bounds.last()])
        if (bounds.size != levels + 2 || bounds.last() != nodes) {
            contradict("child_start makes depths that begin at nodes $bounds; $levels levels up to $nodes are needed")
        }
        return bounds.toIntArray()
    }

    private fun parents(): IntArray {
        val parent = IntArray(nodes + items)
        for (node in 0 until nodes) parent.fill(node, start[node], start[node + 1])
        return parent
    }

    /** A node's code is one of its level, siblings ascend, and a depth is as wide as its widest node. */
    private fun checkCodes(bounds: IntArray, parent: IntArray) {
        var lowest = 0
        for (depth in 0..levels) {
            val size = if (depth > 0) catalog.codeSizes[depth - 1] else 1 // the root's own is 0
            var widest = 0
            for (node in bounds[depth] until bounds[depth + 1]) {
                widest = maxOf(widest, start[node + 1] - start[node])
                val isSibling = node > bounds[depth] && parent[node] == parent[node - 1]
                if (code[node] - lowest !in 0 until size || (isSibling && code[node] <= code[node - 1])) {
                    contradict("node_code[$node] is ${code[node]}, which is out of place at depth $depth")
                }
            }
            val width = catalog.levelWidth[depth]
            if (width != widest) contradict("level_width[$depth] is $width; $widest is the most children there")
            if (depth > 0) lowest += size
        }
    }

    /** Each position holds one item, items of one code stand in row order, and a path is the way up from its item. */
    private fun checkItems(parent: IntArray) {
        val order = catalog.itemOrder
        val isSeen = BooleanArray(items)
        for (position in 0 until items) {
            val row = order[position]
            var node = nodes + position
            val isSibling = position > 0 && parent[node] == parent[node - 1]
            if (row !in 0 until items || isSeen[row] || (isSibling && row < order[position - 1])) {
                contradict("item_order[$position] is $row, which is out of place")
            }
            isSeen[row] = true
            for (level in levels downTo 0) {
                val found = catalog.itemPath[row * (levels + 1) + level]
                if (found != node) contradict("item_path[$row, $level] is $found; node $node is on the way to the item")
                node = parent[node]
            }
        }
    }

    private fun checkLiveItems() {
        for (node in nodes until nodes + items) {
            if (live[node] !in 0..1) contradict("live_items[$node] is ${live[node]}; an item counts 0 or 1")
        }
        for (node in nodes - 1 downTo 0) {
            var sum = 0
            for (child in start[node] until start[node + 1]) sum += live[child]
            if (live[node] != sum) contradict("live_items[$node] is ${live[node]}; its children count $sum")
        }
    }

    private fun contradict(what: String): Nothing = throw Contradiction(what)
}
