package org.odllm.recommender

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Builds the arrays of `catalog.bin` from the items' codes, in the plainest way. */
internal object SmallTrie {
    /** @param codes of each item, by level. */
    fun of(codes: List<List<Int>>, codeSizes: List<Int>): CatalogArrays {
        val levels = codeSizes.size
        val offsets = codeSizes.runningFold(0, Int::plus)
        val prefixes = (0..levels).map { depth -> codes.map { it.take(depth) }.distinct().sortedWith(::compare) }
        val nodeOf = HashMap<List<Int>, Int>()
        for (prefix in prefixes.flatten()) nodeOf[prefix] = nodeOf.size
        val nodes = nodeOf.size
        val order = codes.indices.sortedWith { one, other -> compare(codes[one], codes[other]) }
        val childStart = ArrayList<Int>()
        for (prefix in prefixes.flatten()) {
            val isLast = prefix.size == levels
            val first = if (isLast) order.indexOfFirst { codes[it] == prefix } + nodes
            else nodeOf.getValue(prefixes[prefix.size + 1].first { it.take(prefix.size) == prefix })
            childStart += first
        }
        childStart += nodes + codes.size
        val live = IntArray(nodes + codes.size) { 1 }
        for (prefix in nodeOf.keys) live[nodeOf.getValue(prefix)] = codes.count { it.take(prefix.size) == prefix }
        val paths = codes.flatMapIndexed { row, own ->
            (1..levels).map { nodeOf.getValue(own.take(it)) } + (nodes + order.indexOf(row))
        }
        val nodeCode = prefixes.flatten().map { if (it.isEmpty()) 0 else offsets[it.size - 1] + it.last() }
        val widths = (0..levels).map { depth ->
            prefixes[depth].maxOf { childStart[nodeOf.getValue(it) + 1] - childStart[nodeOf.getValue(it)] }
        }
        val sections = mapOf(
            "child_start" to childStart,
            "node_code" to nodeCode,
            "live_items" to live.toList(),
            "item_path" to paths,
            "item_order" to order,
            "level_width" to widths,
        )
        val packed = sections.mapValues { bytes(it.value) }
        return CatalogArrays(levels, codes.size, nodes, codeSizes.toIntArray(), "", packed)
    }

    private fun bytes(values: List<Int>): ByteBuffer {
        val bytes = ByteBuffer.allocate(values.size * Int.SIZE_BYTES).order(ByteOrder.LITTLE_ENDIAN)
        bytes.asIntBuffer().put(values.toIntArray())
        return bytes
    }

    private fun compare(one: List<Int>, other: List<Int>): Int {
        for ((left, right) in one.zip(other)) if (left != right) return left.compareTo(right)
        return one.size.compareTo(other.size)
    }
}
