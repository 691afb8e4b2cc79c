package org.odllm.recommender

import java.util.Collections

/**
 * One recommended item.
 *
 * @property id as in the catalogue.
 * @property title as in the catalogue.
 * @property score the sum of the log-probabilities of the item's codes: 0 at best.
 * @property row the item's row of the table.
 */
public class RecommendedItem internal constructor(
    public val id: String,
    public val title: String,
    public val score: Float,
    public val row: Int,
) {
    override fun equals(other: Any?): Boolean =
        other is RecommendedItem && id == other.id && title == other.title &&
            score.equals(other.score) && row == other.row // not ==, which takes 0 and -0, of two hashes, for equal

    override fun hashCode(): Int = 31 * id.hashCode() + score.hashCode()

    override fun toString(): String = "$title ($id, $score)"
}

/**
 * The answer to one question. Two are equal if their items are.
 *
 * @property items best first, distinct; fewer than were asked for only where fewer may be shown.
 * @property timeMillis how long it took to compute, without the waiting for other calls.
 * @property tokensRun tokens that went through the model: in a session only those of what is new; 0 where the graph
 *   does not tell.
 */
public class Recommendations internal constructor(
    items: List<RecommendedItem>,
    public val timeMillis: Double,
    public val tokensRun: Int,
) {
    public val items: List<RecommendedItem> = Collections.unmodifiableList(items)

    /** The items' ids, best first. */
    public val ids: List<String> get() = items.map { it.id }

    override fun equals(other: Any?): Boolean = other is Recommendations && items == other.items

    override fun hashCode(): Int = items.hashCode()

    override fun toString(): String = items.joinToString("; ", "[", "]")
}
