package org.odllm.recommender.bench

import java.io.File
import org.odllm.recommender.JsonValue

/**
 * The part that requests have in common: what to open, and which histories to ask about.
 *
 * @property provider by the command line's name.
 * @property threads of the runtime's pool.
 * @property histories item rows, oldest first; one at least.
 */
internal class CellRequest(
    val bundle: File,
    val provider: String,
    val threads: Int,
    val histories: List<LongArray>,
) {
    companion object {
        private const val MOST_THREADS = 256

        fun of(request: JsonValue): CellRequest {
            val threads = request["threads"].long
            if (threads !in 1..MOST_THREADS) throw Refusal("$threads threads were asked for", Refusal.BAD_INPUT)
            val histories = request["histories"].list.map { it.rows() }
            if (histories.isEmpty()) throw Refusal("no histories were given; at least one is needed", Refusal.BAD_INPUT)
            return CellRequest(File(request["bundle"].text), request["provider"].text, threads.toInt(), histories)
        }
    }
}

/** Item rows. */
internal fun JsonValue.rows(): LongArray = list.let { rows -> LongArray(rows.size) { rows[it].long } }

/**
 * Returns how often something is to be done.
 *
 * @throws Refusal a number that makes no sense.
 */
internal fun JsonValue.count(name: String, otherwise: Int, least: Int = 1): Int {
    val count = find(name)?.long ?: otherwise.toLong()
    if (count !in least..MOST_CALLS) {
        throw Refusal("$name is $count; $least to $MOST_CALLS are possible", Refusal.BAD_INPUT)
    }
    return count.toInt()
}

private const val MOST_CALLS = 10_000_000
