package org.odllm.recommender

/** The best children seen so far, best first; equal scores stay in the order in which they came. */
internal class BestChildren(private val capacity: Int) {
    val parents = IntArray(capacity)
    val nodes = IntArray(capacity)
    val scores = FloatArray(capacity)
    var count = 0
    var isSound = true

    fun clear() {
        count = 0
    }

    /** Takes a child if it is among the best. What is no number does not rank. */
    fun offer(parent: Int, node: Int, score: Float) {
        if (score.isNaN() || score.isInfinite()) {
            isSound = false
            return
        }
        if (count == capacity && score <= scores[count - 1]) return
        var at = if (count < capacity) count++ else count - 1
        while (at > 0 && scores[at - 1] < score) {
            parents[at] = parents[at - 1]
            nodes[at] = nodes[at - 1]
            scores[at] = scores[at - 1]
            at--
        }
        parents[at] = parent
        nodes[at] = node
        scores[at] = score
    }
}
