package org.odllm.recommender

import java.nio.Buffer
import java.nio.FloatBuffer
import kotlin.math.exp
import kotlin.math.ln

/**
 * Constrained beam search over the catalogue's trie, as `odllm_export/trie_search.py` does it: [begin], then [grow] a
 * level at a time, then [items]. One object serves one call after the other and keeps its arrays between them.
 *
 * @param codeRow the head's row of the first code.
 * @param scoresCodes whether probabilities are over a node's live children; else over all rows of the head.
 */
internal class TrieSearch(
    private val catalog: CatalogArrays,
    private val numBeams: Int,
    private val scoresCodes: Boolean,
    private val codeRow: Int,
) {
    private val stride = catalog.levels + 1
    private var paths = IntArray(numBeams * stride)
    private var nextPaths = IntArray(numBeams * stride)
    private val scores = FloatArray(numBeams)
    private val best = BestChildren(numBeams)
    private var hidden = HiddenNodes.NONE
    private var row = FloatArray(0)
    private var children = IntArray(16)
    private var values = FloatArray(16)

    /** Live ends of the search; 0 once nothing live is left. */
    var count = 0
        private set

    /** Codes that every end of the search has. */
    var depth = 0
        private set

    /** Whether every score of this call was a number. */
    val isSound: Boolean
        get() = best.isSound

    /** Begins a search that never returns the items at rows [blocked]. */
    fun begin(blocked: LongArray) {
        hidden = HiddenNodes.of(catalog, blocked)
        best.isSound = true
        count = 1
        depth = 0
        paths[0] = ROOT
        scores[0] = 0f
    }

    /** Returns the trie node that a beam has reached. */
    fun node(beam: Int): Int = paths[beam * stride + depth]

    /** Whether a trie node lies on a beam's path, the root included. */
    fun isOnPath(beam: Int, node: Int): Boolean {
        for (at in beam * stride..beam * stride + depth) if (paths[at] == node) return true
        return false
    }

    /** Goes on to the best of all live children. Row `beam` of [logits] has [width] numbers: the codes' among them. */
    fun grow(logits: FloatBuffer, width: Int) {
        if (row.size != width) row = FloatArray(width)
        best.clear()
        for (beam in 0 until count) {
            (logits as Buffer).position(beam * width)
            logits.get(row)
            val found = liveChildren(node(beam))
            for (child in 0 until found) values[child] = row[catalog.nodeCode[children[child]] + codeRow]
            val norm = if (scoresCodes) logSumExp(values, found) else logSumExp(row, width)
            for (child in 0 until found) best.offer(beam, children[child], scores[beam] + values[child] - norm)
        }
        follow()
    }

    /** Returns the live items of complete beams: best first, those of one code in row order. */
    fun items(tokensRun: Int): Ranked {
        best.clear()
        for (beam in 0 until count) {
            for (child in 0 until liveChildren(node(beam))) best.offer(beam, children[child], scores[beam])
        }
        val rows = LongArray(best.count) { catalog.itemOrder[best.nodes[it] - catalog.nodes].toLong() }
        return Ranked(rows, best.scores.copyOf(best.count), tokensRun)
    }

    /** Makes the best children the ends of the search. */
    private fun follow() {
        for (end in 0 until best.count) {
            System.arraycopy(paths, best.parents[end] * stride, nextPaths, end * stride, depth + 1)
            nextPaths[end * stride + depth + 1] = best.nodes[end]
            scores[end] = best.scores[end]
        }
        paths = nextPaths.also { nextPaths = paths }
        count = best.count
        depth++
    }

    /** Puts a node's live children into [children], makes room in [values], and returns how many they are. */
    private fun liveChildren(node: Int): Int {
        val first = catalog.childStart[node]
        val end = catalog.childStart[node + 1]
        if (children.size < end - first) {
            values = FloatArray(end - first) // first: it is never shorter, though the other may not fit the memory
            children = IntArray(end - first)
        }
        var found = 0
        for (child in first until end) if (catalog.liveItems[child] > hidden.count(child)) children[found++] = child
        return found
    }

    private companion object {
        const val ROOT = 0

        /** Of no numbers, or of none above minus infinity: 0, which can be subtracted. */
        fun logSumExp(values: FloatArray, count: Int): Float {
            var largest = Float.NEGATIVE_INFINITY
            for (at in 0 until count) if (values[at] > largest) largest = values[at]
            if (largest.isInfinite()) return 0f
            var total = 0.0
            for (at in 0 until count) total += exp((values[at] - largest).toDouble())
            return largest + ln(total).toFloat()
        }
    }
}
