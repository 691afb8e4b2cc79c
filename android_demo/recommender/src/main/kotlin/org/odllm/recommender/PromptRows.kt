package org.odllm.recommender

/**
 * Prompts as rows of the bundle's embedding.
 *
 * @throws BundleDamagedException a token of the prompt is not in the embedding.
 */
internal class PromptRows(private val manifest: Manifest) {
    private val prompt = manifest.prompt

    /** The row of the first code; the others follow it. */
    val firstCode: Int = rowOf(prompt.firstCodeToken)
    private val prefix = rowsOf(prompt.prefixIds)
    private val separator = rowsOf(prompt.separatorIds)
    private val suffix = rowsOf(prompt.suffixIds)

    /** Returns the row of the code that leads to a trie node. */
    fun ofNode(catalog: CatalogArrays, node: Int): Int = firstCode + catalog.nodeCode[node]

    /** Returns a history's prompt: prefix, the codes of the last items with separators between them, suffix. */
    fun encode(catalog: CatalogArrays, history: LongArray): IntArray {
        val first = history.size - minOf(history.size, prompt.maxItems)
        val rows = IntArray(prompt.length(history.size))
        var at = rows.place(prefix, 0)
        for (item in first until history.size) {
            if (item > first) at = rows.place(separator, at)
            val path = history[item].toInt() * (prompt.levels + 1)
            for (level in 0 until prompt.levels) rows[at++] = ofNode(catalog, catalog.itemPath[path + level])
        }
        rows.place(suffix, at)
        return rows
    }

    private fun IntArray.place(part: IntArray, at: Int): Int = (at + part.size).also { part.copyInto(this, at) }

    private fun rowsOf(tokens: IntArray) = IntArray(tokens.size) { rowOf(tokens[it]) }

    private fun rowOf(token: Int): Int {
        val rows = manifest.graph.embeddingRows
        val row = if (rows.isEmpty()) token else rows.indexOf(token)
        if (row >= 0) return row
        val file = manifest.file(BundleFile.MANIFEST)
        throw BundleDamagedException(manifest.folder, file, "$file: token $token is not in the embedding. $AGAIN")
    }
}
