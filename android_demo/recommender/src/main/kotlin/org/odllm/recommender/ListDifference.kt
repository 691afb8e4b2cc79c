package org.odllm.recommender

import kotlin.math.abs

/** When two ranked lists are the same list, though computed by programs that add in another order. */
internal object ListDifference {
    /**
     * Says how a list differs from the expected one beyond ties, or returns null: `odllm_export/list_difference.py`,
     * down to the precision of each comparison. Two lists are equal up to ties when they are as long, an item that is
     * in both has one score, the scores agree position by position, and an item in only one stands level with the
     * list's end.
     *
     * @param tolerance within which two scores count as equal.
     */
    fun of(found: Ranked, expected: Ranked, tolerance: Double): String? {
        val (length, wanted) = found.items.size to expected.items.size
        if (length != wanted) return "$length items instead of $wanted"
        val ours = scoreOf(found)
        val theirs = scoreOf(expected)
        for ((row, score) in ours) {
            val other = theirs[row] ?: continue
            if (abs(score.toDouble() - other) > tolerance) return "item row $row has score $score instead of $other"
        }
        val bound = tolerance.toFloat()
        for (at in expected.scores.indices) {
            if (abs(found.scores[at] - expected.scores[at]) <= bound) continue
            return "score ${found.scores[at]} instead of ${expected.scores[at]} at position ${at + 1}"
        }
        for ((row, score) in ours + theirs) {
            if (row in ours && row in theirs) continue
            val end = if (row in ours) expected.scores.last() else found.scores.last()
            if (abs(score - end) <= bound) continue
            return "item row $row with score $score is in one list only, which ends at $end"
        }
        return null
    }

    /** Returns which share of the expected items is in a list; 1 where nothing is expected and nothing came. */
    fun overlap(found: Ranked, expected: Ranked): Double {
        if (expected.items.isEmpty()) return if (found.items.isEmpty()) 1.0 else 0.0
        return expected.items.toSet().intersect(found.items.toSet()).size / expected.items.size.toDouble()
    }

    /** Returns how far the scores of the items that are in both lists are apart at most. */
    fun largest(found: Ranked, expected: Ranked): Double {
        val theirs = scoreOf(expected)
        val apart = scoreOf(found).mapNotNull { (row, score) -> theirs[row]?.let { abs(score.toDouble() - it) } }
        return apart.maxOrNull() ?: 0.0
    }

    private fun scoreOf(list: Ranked): Map<Long, Float> {
        val scores = LinkedHashMap<Long, Float>()
        for (at in list.items.indices) scores[list.items[at]] = list.scores[at]
        return scores
    }
}
