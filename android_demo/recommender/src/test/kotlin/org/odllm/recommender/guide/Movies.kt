package org.odllm.recommender.guide

import java.io.Closeable
import java.io.File
import org.odllm.recommender.MemorySource
import org.odllm.recommender.Recommender
import org.odllm.recommender.RecommenderOptions

/** What to watch next. Calls block: keep them off the main thread. */
class Movies(bundle: File, memory: MemorySource) : Closeable {
    private val recommender = Recommender.open(bundle, RecommenderOptions.builder().availableMemory(memory).build())
    private val session = recommender.startSession()

    /** Returns the ids that titles on screen stand for. */
    fun find(words: String): List<String> = recommender.catalog.search(words, 20).map { it.id }

    /** Returns ten titles, none of which was watched. */
    fun next(watched: List<String>): List<String> = session.recommend(watched, 10, watched).items.map { it.title }

    override fun close() = recommender.close()
}
