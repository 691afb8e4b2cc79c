package org.odllm.recommender

/** How many items at or below a trie node a call blocks beside those that the catalogue blocks. */
internal class HiddenNodes(private val nodes: IntArray, private val counts: IntArray) {
    fun count(node: Int): Int {
        if (nodes.isEmpty()) return 0
        val at = nodes.binarySearch(node)
        return if (at < 0) 0 else counts[at]
    }

    companion object {
        val NONE = HiddenNodes(IntArray(0), IntArray(0))

        fun of(catalog: CatalogArrays, blocked: LongArray): HiddenNodes {
            val stride = catalog.levels + 1
            val live = blocked.distinct().filter { catalog.liveItems[catalog.itemPath[leaf(it, stride)]] > 0 }
            if (live.isEmpty()) return NONE
            val all = IntArray(live.size * stride) {
                catalog.itemPath[live[it / stride].toInt() * stride + it % stride]
            }
            all.sort()
            val starts = all.indices.filter { it == 0 || all[it] != all[it - 1] }
            val counts = IntArray(starts.size) { (starts.getOrElse(it + 1) { all.size }) - starts[it] }
            return HiddenNodes(IntArray(starts.size) { all[starts[it]] }, counts)
        }

        private fun leaf(row: Long, stride: Int): Int = row.toInt() * stride + stride - 1
    }
}
