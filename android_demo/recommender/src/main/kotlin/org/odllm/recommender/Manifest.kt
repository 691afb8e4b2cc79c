package org.odllm.recommender

import java.io.File

/** What to do about a damaged bundle; the end of many messages. */
internal const val AGAIN: String = "Install the bundle again."

/** One file of a bundle: its size and SHA-256. */
internal data class FileFact(val bytes: Long, val sha256: String)

/** How a history becomes token ids; tokens are ids of the model's vocabulary. */
internal class PromptFacts(
    val prefixIds: IntArray,
    val separatorIds: IntArray,
    val suffixIds: IntArray,
    val maxItems: Int,
    val codeSizes: IntArray,
    val firstCodeToken: Int,
) {
    val levels: Int get() = codeSizes.size

    /** Returns how many tokens two prompts share whose first `items` items are the same. */
    fun reusableTokens(items: Int): Int {
        val counted = minOf(items, maxItems)
        return prefixIds.size + counted * levels + separatorIds.size * maxOf(counted - 1, 0)
    }

    /** Returns the tokens of a prompt with so many items. */
    fun length(items: Int): Int = reusableTokens(items) + suffixIds.size
}

/**
 * How the graph searches; `scoring` is `codes` (over a node's live children) or `vocab` (over the whole vocabulary).
 */
internal class SearchFacts(val numBeams: Int, val topK: Int, val scoring: String)

/**
 * What a runtime must support.
 *
 * @property cacheSizes layers, 2, kv heads, head size.
 * @property embeddingRows token id of each row that is left of the embedding; empty if none was pruned.
 * @property chunk form `steps`: tokens of the prompt that are run at once; 0 in the others.
 * @property columns form `steps`: tokens whose keys and values are read; 0 in the others.
 */
internal class GraphFacts(
    val form: String,
    val runtimeNeeded: String,
    val embeddingRows: IntArray,
    val cacheSizes: IntArray,
    val prepack: Boolean,
    val chunk: Int,
    val columns: Int,
)

/** What is read of the model's facts. */
internal class ModelFacts(val family: String, val keepRatio: Double, val precision: String, val parameters: Long)

/**
 * A bundle's `manifest.json`, checked by [ManifestReader].
 *
 * @property folder the bundle.
 * @property sharedFacts what the graph's metadata must say, too: `prompt`, `search` and `graph`.
 */
internal class Manifest(
    val folder: File,
    val name: String,
    val files: Map<String, FileFact>,
    val model: ModelFacts,
    val prompt: PromptFacts,
    val search: SearchFacts,
    val graph: GraphFacts,
    val items: Int,
    val peakMemoryBytes: Long,
    val provenance: Map<String, String>,
    val schemaVersion: Int,
    val sharedFacts: JsonValue,
) {
    /** The form's graphs. */
    val graphs: List<String> get() = Forms.graphs(form)

    val form: String get() = graph.form

    /** Returns where a file of the bundle lies. */
    fun file(name: String): File = File(folder, name)
}

/** Names of a bundle's files. */
internal object BundleFile {
    const val MANIFEST: String = "manifest.json"
    const val WEIGHTS: String = "recommend.onnx.data"
    const val CATALOG: String = "catalog.bin"
    const val ITEMS: String = "items.jsonl"
    const val GOLDEN: String = "golden.json"
    const val MODEL_CARD: String = "MODEL_CARD.md"
}

/** The forms of a bundle's graph (docs/forms.md). */
internal object Forms {
    const val STEPS: String = "steps"
    const val UNROLLED: String = "unrolled"

    private val graphs = mapOf(
        "loop" to listOf("recommend.onnx"),
        UNROLLED to listOf("recommend.onnx"),
        STEPS to listOf("prefill.onnx", "step.onnx"),
    )

    val names: Set<String> get() = graphs.keys

    /** Returns the graphs of a known form; of `steps` the prompt's is the first one. */
    fun graphs(form: String): List<String> = graphs.getValue(form)
}
