package org.odllm.recommender

/** One call: ids in, titles out, and rows in between. */
internal class Question(
    private val content: BundleContent,
    history: List<String>,
    private val topK: Int,
    blocked: Collection<String>,
) {
    private val catalog = content.catalog

    /** Item rows, oldest first. */
    private val history: LongArray

    /** Distinct item rows. */
    private val blocked: LongArray

    init {
        val beams = content.manifest.search.numBeams
        if (topK !in 1..beams) {
            throw InvalidRequestException(
                "topK is $topK; this bundle searches with $beams beams and returns 1 to $beams items",
            )
        }
        if (history.isEmpty()) throw EmptyHistoryException()
        this.history = catalog.rows(history)
        this.blocked = if (blocked.isEmpty()) NO_ROWS else distinct(catalog.rows(blocked))
    }

    /** Has an engine answer, and says what it found. */
    fun ask(engine: (LongArray, LongArray) -> Ranked): Recommendations {
        val begin = System.nanoTime()
        val found = ranked(engine)
        val count = minOf(topK, found.items.size)
        val items = ArrayList<RecommendedItem>(count)
        for (at in 0 until count) {
            val row = found.items[at].toInt()
            items.add(RecommendedItem(catalog.table.ids[row], catalog.table.titles[row], found.scores[at], row))
        }
        return Recommendations(items, (System.nanoTime() - begin) / NANOS_A_MILLI, found.tokensRun)
    }

    /** Has an engine answer. */
    fun ranked(engine: (LongArray, LongArray) -> Ranked): Ranked = content.checked(engine(history, blocked), blocked)

    /** Returns the code rows of the items that are read, `levels` an item. */
    fun window(): IntArray = content.window(history)

    private companion object {
        val NO_ROWS = LongArray(0)
        const val NANOS_A_MILLI = 1e6

        fun distinct(rows: LongArray): LongArray {
            rows.sort()
            var count = 0
            for (row in rows) if (count == 0 || rows[count - 1] != row) rows[count++] = row
            return rows.copyOf(count)
        }
    }
}

/**
 * Returns what an engine found. Scores that are no numbers do not rank: the list is too short then, or holds them.
 *
 * @param blocked distinct item rows.
 * @throws InferenceException it is such a list.
 */
internal fun BundleContent.checked(found: Ranked, blocked: LongArray): Ranked {
    val fewest = minOf(manifest.search.numBeams, catalog.arrays.liveWithout(blocked))
    val areItems = found.items.all { it >= 0 && it < catalog.size } && found.items.size == found.scores.size
    if (found.items.size < fewest || !areItems || found.scores.any { it.isNaN() }) {
        throw InferenceException(
            "bundle '${manifest.name}' computes scores that are no numbers: its weights are damaged, or " +
                "this device computes wrongly. $AGAIN",
        )
    }
    return found
}

/** Returns the code rows of the items of a history that are read, `levels` an item. */
internal fun BundleContent.window(history: LongArray): IntArray {
    val arrays = catalog.arrays
    val levels = arrays.levels
    val first = maxOf(0, history.size - manifest.prompt.maxItems)
    return IntArray((history.size - first) * levels) {
        arrays.nodeCode[arrays.itemPath[history[first + it / levels].toInt() * (levels + 1) + it % levels]]
    }
}
