package org.odllm.recommender

import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import java.io.File

/**
 * Form `steps` at work: two decoder graphs of fixed shapes, and the search around them (docs/forms.md).
 *
 * The prompt runs in chunks, then every level but the first is one step of all beams. Keys and values lie in
 * [StepsColumns]: a run reads all of its columns, the mask says which of them count, and what it returns is written
 * behind them. A token sees the columns whose label lies on its own path through the trie.
 */
internal class StepsEngine private constructor(
    private val manifest: Manifest,
    private var catalog: CatalogArrays,
    private val prompts: PromptRows,
    private val columns: StepsColumns,
    private val prefill: StepsGraph,
    private val step: StepsGraph,
) : Engine {
    private var search = searchIn(catalog)

    /** Whether nothing but numbers can lie in the columns. */
    private var isSound = true

    override fun run(
        history: LongArray,
        blocked: LongArray,
        cache: KeptCache?,
        options: OrtSession.RunOptions?,
    ): Ranked {
        val ids = prompts.encode(catalog, history)
        val kept = (cache?.content as? KeptTokens)?.tokens.orEmpty()
        val cached = minOf(cache?.tokens ?: 0, kept.size, ids.size - 1) // at least one token is left to run
        if (!isSound) columns.erase()
        isSound = false
        columns.begin(kept, cached)
        search.begin(blocked)
        runPrompt(ids, cached, options)
        search.grow(prefill.logits, prefill.width)
        var tokensRun = ids.size - cached
        for (level in 1 until catalog.levels) {
            if (search.count == 0) break
            tokensRun += search.count
            runStep(ids.size, level, options)
            search.grow(step.logits, step.width)
        }
        isSound = search.isSound
        if (isSound) cache?.content = KeptTokens(columns.keep(manifest.prompt.reusableTokens(history.size), kept))
        return search.items(tokensRun)
    }

    override fun replaceCatalog(catalog: CatalogArrays) {
        search = searchIn(catalog) // it may not fit the heap: both change, or none
        this.catalog = catalog
    }

    override fun endProfiling(): List<File> = listOf(File(prefill.endProfiling()), File(step.endProfiling()))

    override fun close() {
        prefill.close()
        step.close()
    }

    private fun searchIn(catalog: CatalogArrays) =
        TrieSearch(catalog, manifest.search.numBeams, manifest.search.scoring == "codes", prompts.firstCode)

    /** Runs what of a prompt is not cached, and leaves the logits of its last token. */
    private fun runPrompt(ids: IntArray, cached: Int, options: OrtSession.RunOptions?) {
        for (at in cached until ids.size step prefill.rows) {
            val count = minOf(prefill.rows, ids.size - at)
            for (row in 0 until count) {
                prefill.token(row, ids[at + row], at + row) { line ->
                    columns.see(line) { it == StepsColumns.ROOT }
                    showOwn(line, 0, row)
                }
            }
            prefill.repeat(count)
            prefill.run(count - 1, options)
            columns.take(prefill.fresh, prefill.rows, at, count) { StepsColumns.ROOT }
        }
    }

    /** Runs the beams' tokens; the first code stands right behind the prompt. */
    private fun runStep(promptTokens: Int, level: Int, options: OrtSession.RunOptions?) {
        for (beam in 0 until search.count) {
            step.token(beam, prompts.ofNode(catalog, search.node(beam)), promptTokens + level - 1) { line ->
                columns.see(line) { search.isOnPath(beam, it) }
                showOwn(line, beam, beam)
            }
        }
        step.repeat(search.count)
        step.run(search.count - 1, options)
        val at = promptTokens + (level - 1) * step.rows
        columns.take(step.fresh, step.rows, at, search.count) { search.node(it) }
    }

    /** Writes behind the columns which of the run's own tokens one sees. */
    private fun showOwn(line: FloatArray, first: Int, last: Int) {
        line.fill(StepsColumns.UNSEEN, columns.columns)
        line.fill(StepsColumns.SEEN, columns.columns + first, columns.columns + last + 1)
    }

    companion object {
        /** What a buffer can hold, which counts its bytes. */
        private const val MOST_NUMBERS = Int.MAX_VALUE / Float.SIZE_BYTES

        /**
         * Opens the two graphs of a bundle.
         *
         * @throws OrtException the runtime cannot open them.
         * @throws BundleDamagedException they have other sizes than the manifest says.
         */
        fun open(manifest: Manifest, catalog: CatalogArrays, graphs: GraphSession): StepsEngine {
            val opened = ArrayList<OrtSession>()
            try {
                for (name in manifest.graphs) opened.add(graphs.open(name))
                return of(manifest, catalog, opened)
            } catch (error: Throwable) {
                for (session in opened) session.close()
                throw error
            }
        }

        private fun of(manifest: Manifest, catalog: CatalogArrays, sessions: List<OrtSession>): StepsEngine {
            val graph = manifest.graph
            val prompt = manifest.prompt
            val beams = manifest.search.numBeams
            val heads = graph.cacheSizes[2]
            val headSize = graph.cacheSizes[3]
            val prompts = PromptRows(manifest)
            val widths = sessions.map { headRows(manifest, it, prompts.firstCode + prompt.codeSizes.sum()) }
            val rows = maxOf(graph.chunk, beams).toLong()
            val lines = graph.columns + rows
            val most = maxOf(rows * lines, rows * widths.max(), heads.toLong() * headSize * lines)
            val longest = prompt.length(prompt.maxItems) + beams * maxOf(prompt.levels - 2L, 0L)
            if (most > MOST_NUMBERS || longest > graph.columns) throw damaged(manifest, "no bundle has its sizes")
            val names = (0 until graph.cacheSizes[0]).flatMap { listOf("keys_$it", "values_$it") }
            val columns = StepsColumns(names, heads, graph.columns, headSize)
            val prefill = StepsGraph(sessions[0], columns, graph.chunk, widths[0], isPrefill = true)
            val step = StepsGraph(sessions[1], columns, beams, widths[1], isPrefill = false)
            return StepsEngine(manifest, catalog, prompts, columns, prefill, step)
        }

        private fun headRows(manifest: Manifest, session: OrtSession, needed: Int): Int {
            val found = (session.outputInfo["logits"]?.info as? TensorInfo)?.shape?.lastOrNull() ?: 0
            if (found in needed.toLong()..Int.MAX_VALUE) return found.toInt()
            throw damaged(manifest, "its graphs' heads have $found rows, and the codes need $needed")
        }

        private fun damaged(manifest: Manifest, what: String): BundleDamagedException {
            val file = manifest.file(BundleFile.MANIFEST)
            return BundleDamagedException(manifest.folder, file, "${manifest.folder} is damaged: $what. $AGAIN")
        }
    }
}
