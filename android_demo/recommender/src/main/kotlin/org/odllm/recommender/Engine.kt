package org.odllm.recommender

import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import java.io.Closeable
import java.io.File

/**
 * What answers a call: the graph of a whole recommender, or two graphs of fixed shapes with a search around them. Calls
 * come one at a time.
 */
internal interface Engine : Closeable {
    /**
     * Answers a call whose rows were checked.
     *
     * @param history item rows, oldest first, at least one; the last `max_items` are read.
     * @param blocked distinct item rows that must not come back.
     * @param cache if given, what it holds is read and replaced by this call's keys and values.
     * @param options of the runtime: how a call is ended early.
     * @throws OrtException the runtime failed, or was told to end.
     */
    fun run(history: LongArray, blocked: LongArray, cache: KeptCache?, options: OrtSession.RunOptions?): Ranked

    /** Takes another catalogue for the same model; the one before is no longer used after that. */
    fun replaceCatalog(catalog: CatalogArrays)

    /** Ends the profile of each graph, if it was opened with one, and returns the files, one a graph. */
    fun endProfiling(): List<File>
}

/**
 * What a call found.
 *
 * @property items item rows, best first, distinct.
 * @property scores of each item: the sum of its codes' log-probabilities.
 * @property tokensRun tokens that went through the model.
 */
internal class Ranked(val items: LongArray, val scores: FloatArray, val tokensRun: Int)

/** Keys and values of a prompt, as an engine keeps them. Freed when nobody holds them any more. */
internal abstract class CacheContent {
    private var holders = 1

    /** Holds it once more, or returns null where it was freed already. */
    @Synchronized
    fun retained(): CacheContent? {
        if (holders == 0) return null
        holders++
        return this
    }

    /** Lets go of it once. */
    @Synchronized
    fun release() {
        if (--holders == 0) free()
    }

    protected abstract fun free()
}

/**
 * What one call takes from the call before it, and leaves for the next one.
 *
 * @property content read by an engine and replaced; it neither holds nor releases what it finds.
 * @property tokens how many of the content's tokens the prompt begins with; 0: begin anew.
 */
internal class KeptCache(var content: CacheContent?, val tokens: Int)
