package org.odllm.recommender

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.IntBuffer

/**
 * The trie over item codes, as `catalog.bin` holds it (docs/bundle.md). The arrays are views of the mapped file: a
 * million items take no heap, and the runtime reads the same pages. Read them by index only; nobody moves their
 * position.
 *
 * @property levels codes an item.
 * @property items rows of the item table.
 * @property nodes of the trie, the root and the leaves included, the items not.
 * @property codeSizes `[levels]` codes a level.
 * @property idsSha256 which item table it fits.
 */
internal class CatalogArrays(
    val levels: Int,
    val items: Int,
    val nodes: Int,
    val codeSizes: IntArray,
    val idsSha256: String,
    private val sections: Map<String, ByteBuffer>,
) {
    /** `[nodes + 1]` the first child of each node. */
    val childStart: IntBuffer = ints("child_start")

    /** `[nodes]` level offset + code. */
    val nodeCode: IntBuffer = ints("node_code")

    /** `[nodes + items]` items at or below a node that may be shown. */
    val liveItems: IntBuffer = ints("live_items")

    /** `[items, levels + 1]` by item row, the nodes from depth 1 to the item itself. */
    val itemPath: IntBuffer = ints("item_path")

    /** `[items]` the item row at each position. */
    val itemOrder: IntBuffer = ints("item_order")

    /** `[levels + 1]` the most children of a node, by depth. */
    val levelWidth: IntBuffer = ints("level_width")

    /** Names of the arrays, which are also the graph's inputs. */
    val names: Set<String> get() = sections.keys

    /** Returns an array's bytes, from position 0 to the limit. */
    fun bytes(name: String): ByteBuffer = sections.getValue(name).duplicate().order(ByteOrder.LITTLE_ENDIAN)

    /** Returns the shape of an array. */
    fun shape(name: String): LongArray = when (name) {
        "item_path" -> longArrayOf(items.toLong(), levels + 1L)
        else -> longArrayOf(sections.getValue(name).limit() / Int.SIZE_BYTES.toLong())
    }

    /** Returns whether the item at a row may be shown. */
    fun isLive(row: Int): Boolean = liveItems[itemPath[row * (levels + 1) + levels]] > 0

    /** Returns how many items may be shown when those at `blocked`, distinct rows, may not. */
    fun liveWithout(blocked: LongArray): Int = liveItems[0] - blocked.count { isLive(it.toInt()) }

    private fun ints(name: String) = bytes(name).asIntBuffer()
}
