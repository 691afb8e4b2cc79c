package org.odllm.recommender

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtSession
import java.io.File

/**
 * Forms `loop` and `unrolled`: one graph, from item rows to ranked item rows (docs/bundle.md, "Asking"). What does not
 * change from call to call is a tensor made once; a call writes a few numbers into buffers that the graph reads.
 */
internal class LoopEngine(manifest: Manifest, catalog: CatalogArrays, private val session: OrtSession) : Engine {
    private val window = manifest.prompt.maxItems
    private val history = RowsInput(window)
    private val blocked = RowsInput(FIRST_BLOCKED)
    private val cachedTokens = RowsInput(1)
    private val noCache = emptyCache(manifest.graph.cacheSizes)
    private val keep = flag(true)
    private val forget = flag(false)
    private val feed = HashMap<String, OnnxTensor>()
    private val results: Set<String>
    private val resultsAndCache: Set<String>
    private var catalogTensors = emptyMap<String, OnnxTensor>()

    init {
        val told = if (TOKENS_RUN in session.outputNames) listOf(TOKENS_RUN) else emptyList()
        results = linkedSetOf("items", "scores").apply { addAll(told) }
        resultsAndCache = LinkedHashSet(results).apply { add(NEXT_CACHE) }
        replaceCatalog(catalog)
    }

    override fun run(
        history: LongArray,
        blocked: LongArray,
        cache: KeptCache?,
        options: OrtSession.RunOptions?,
    ): Ranked {
        val begun = (cache?.content as? TensorCache)?.takeIf { cache.tokens > 0 }
        feed["history"] = this.history.of(history, maxOf(0, history.size - window))
        feed["blocked"] = this.blocked.of(blocked)
        feed["kv_cache"] = begun?.tensor ?: noCache
        feed["cached_tokens"] = cachedTokens.of(longArrayOf(if (begun == null) 0 else cache.tokens.toLong()))
        feed["return_cache"] = if (cache == null) forget else keep
        val found = session.run(feed, if (cache == null) results else resultsAndCache, options)
        var next: OnnxTensor? = null
        try {
            val ranked = ranked(found)
            if (cache != null) next = found.tensor(found.size() - 1)
            return ranked
        } finally {
            for (at in 0 until found.size()) if (found.get(at) !== next) found.get(at).close()
            if (next != null) cache!!.content = TensorCache(next)
        }
    }

    override fun replaceCatalog(catalog: CatalogArrays) {
        val before = catalogTensors
        val made = HashMap<String, OnnxTensor>()
        try {
            for (name in catalog.names) {
                made[name] = Tensors.of(catalog.bytes(name), catalog.shape(name), OnnxJavaType.INT32)
            }
        } catch (error: Throwable) {
            made.values.forEach { it.close() }
            throw error
        }
        catalogTensors = made
        feed.putAll(made)
        before.values.forEach { it.close() }
    }

    override fun endProfiling(): List<File> = listOf(File(session.endProfiling()))

    override fun close() {
        session.close()
        (catalogTensors.values + listOf(noCache, keep, forget)).forEach { it.close() }
        listOf(history, blocked, cachedTokens).forEach { it.close() }
    }

    private fun ranked(found: OrtSession.Result): Ranked {
        val items = found.tensor(0).longBuffer
        val scores = found.tensor(1).floatBuffer
        val told = if (results.size > 2) found.tensor(2).longBuffer[0].toInt() else 0
        val rows = LongArray(items.remaining()).also(items::get)
        return Ranked(rows, FloatArray(scores.remaining()).also(scores::get), told)
    }

    private fun OrtSession.Result.tensor(at: Int) = get(at) as OnnxTensor

    /** The graph's own tensor: the next call reads it where it lies. */
    private class TensorCache(val tensor: OnnxTensor) : CacheContent() {
        override fun free() = tensor.close()
    }

    private companion object {
        const val TOKENS_RUN = "tokens_run"
        const val NEXT_CACHE = "next_kv_cache"
        const val FIRST_BLOCKED = 64

        fun flag(value: Boolean): OnnxTensor =
            Tensors.of(Tensors.buffer(1).put(0, if (value) 1 else 0), longArrayOf(1), OnnxJavaType.BOOL)

        fun emptyCache(sizes: IntArray): OnnxTensor {
            val (layers, two, heads, width) = sizes.map { it.toLong() }
            return Tensors.of(Tensors.buffer(0), longArrayOf(layers, two, heads, 0, width), OnnxJavaType.FLOAT)
        }
    }
}
