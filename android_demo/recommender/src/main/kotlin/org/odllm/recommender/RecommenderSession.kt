package org.odllm.recommender

import java.io.Closeable

/**
 * One user's history, asked about again and again: what did not change since the last call is not computed again. A
 * call with one more item runs that item only; once the history is longer than [BundleInfo.maxItems] the window slides,
 * and a call computes all of it. The lists are those of [Recommender.recommend].
 *
 * ```
 * val session = recommender.startSession()
 * session.recommend(listOf("1", "260"))
 * session.recommend(listOf("1", "260", "1196")) // runs one item
 * ```
 *
 * It holds the keys and values of the prompt, some hundred kilobytes to some megabytes, until it is closed or its
 * recommender is. For several threads at once; calls wait for one another as those of the recommender do.
 */
public class RecommenderSession internal constructor(
    private val recommender: Recommender,
    private val memory: SessionMemory,
) : Closeable {
    /** As [Recommender.recommend], argument by argument and error by error. */
    @JvmOverloads
    public fun recommend(
        history: List<String>,
        topK: Int = recommender.info.topK,
        blocked: Collection<String> = emptySet(),
        cancellation: Cancellation = Cancellation.NEVER,
    ): Recommendations = recommender.recommend(memory, history, topK, blocked, cancellation)

    /**
     * Returns a session that goes on from here by itself, to ask *what if*; nothing is computed again or copied.
     *
     * @throws RecommenderClosedException this one or the recommender is closed.
     */
    public fun copy(): RecommenderSession = recommender.session(memory.copy())

    /** Frees what is kept, as soon as a call that uses it has ended. Later calls throw [RecommenderClosedException]. */
    override fun close(): Unit = recommender.end(memory)
}
