package org.odllm.recommender.bench

import ai.onnxruntime.OrtException
import java.io.Closeable
import java.io.File
import org.odllm.recommender.EmptyHistoryException
import org.odllm.recommender.KeptCache
import org.odllm.recommender.Manifest
import org.odllm.recommender.OpenedBundle
import org.odllm.recommender.Provider
import org.odllm.recommender.Ranked
import org.odllm.recommender.RecommenderOptions
import org.odllm.recommender.SessionMemory
import org.odllm.recommender.checked
import org.odllm.recommender.window

/** An opened bundle and the histories to ask it about: item rows in, ranked item rows out. */
internal class AskedBundle(request: CellRequest, profilePrefix: String? = null) : Closeable {
    private val opened = OpenedBundle.open(request.bundle, options(request, profilePrefix))
    private val histories = request.histories

    val manifest: Manifest get() = opened.content.manifest

    /** Asks about one history; numbers beyond the last begin again at the first. */
    fun call(number: Int): Ranked = ask(history(number))

    fun history(number: Int): LongArray = histories[number % histories.size]

    /**
     * Asks about a history.
     *
     * @param blocked item rows that must not come back, in any order.
     * @param memory of a session, read and replaced, if given.
     * @throws EmptyHistoryException there is no item in it.
     * @throws Refusal rows outside the catalogue, or a runtime that fails.
     */
    fun ask(history: LongArray, blocked: LongArray = NONE, memory: SessionMemory? = null): Ranked {
        if (history.isEmpty()) throw EmptyHistoryException()
        checkRows(history)
        checkRows(blocked)
        val hidden = if (blocked.isEmpty()) blocked else blocked.distinct().toLongArray()
        return if (memory == null) run(history, hidden, null)
        else memory.ask(opened.content.window(history), manifest.prompt) { run(history, hidden, it) }
    }

    private fun run(history: LongArray, blocked: LongArray, cache: KeptCache?): Ranked = try {
        opened.content.checked(opened.engine.run(history, blocked, cache, null), blocked)
    } catch (error: OrtException) {
        throw Refusal("ONNX Runtime cannot run the graph: ${error.message}", Refusal.DEVICE)
    }

    /** Ends the profile and returns the nodes that ran. */
    fun profiledNodes(): Collection<ProfiledNode> = Profile.read(opened.engine.endProfiling())

    override fun close() = opened.engine.close()

    private fun checkRows(rows: LongArray) {
        val last = manifest.items - 1L
        for (row in rows) if (row !in 0..last) throw Refusal("item row $row is outside 0 … $last", Refusal.BAD_INPUT)
    }

    private companion object {
        val NONE = LongArray(0)

        fun options(request: CellRequest, profilePrefix: String?): RecommenderOptions = RecommenderOptions.builder()
            .provider(Provider.named(request.provider))
            .requireProvider(true)
            .threads(request.threads)
            .profilePrefix(profilePrefix)
            .build()
    }
}
