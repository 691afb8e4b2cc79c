package org.odllm.recommender

import java.io.File
import org.junit.Assume.assumeTrue

/** A question, and what the Python runtime answers to it. */
internal class PythonList(
    val history: List<String>,
    val blocked: List<String>,
    val items: List<String>,
    val scores: FloatArray,
)

/** The bundles that `tests/android_demo/bundles.py` makes, in the folder that the property `odllm.bundles` names. */
internal object TestBundles {
    /** Within which two scores are one: float32 sums in another order. */
    const val TOLERANCE = 1e-4

    /** Of every bundle but the one with a single item. */
    const val BEAMS = 12

    /** Returns a bundle's folder; skips the test where there are no bundles. */
    fun folder(name: String): File {
        val bundles = System.getProperty("odllm.bundles")
        assumeTrue("no bundles: set the system property odllm.bundles", bundles != null)
        return File(bundles, name)
    }

    /** Returns a copy of a bundle that a test may change. */
    fun copy(name: String, to: File): File {
        val copy = File(to, name)
        check(folder(name).copyRecursively(copy, overwrite = true))
        return copy
    }

    fun open(name: String, options: RecommenderOptions = RecommenderOptions.DEFAULT): Recommender =
        Recommender.open(folder(name), options)

    fun lists(name: String): List<PythonList> = Json.read(folder("python-lists.json"))[name].list.map { list ->
        val scores = list["scores"].list.map { it.double.toFloat() }.toFloatArray()
        PythonList(list["history"].texts, list["blocked"].texts, list["items"].texts, scores)
    }

    /** Says how the answer to Python's question differs from its list beyond ties, or returns null. */
    fun difference(recommender: Recommender, expected: PythonList): String? =
        difference(recommender.catalog, recommender.recommend(expected.history, BEAMS, expected.blocked), expected)

    /** Says how an answer differs from Python's beyond ties, or returns null. */
    fun difference(catalog: Catalog, found: Recommendations, expected: PythonList): String? {
        val theirs = Ranked(catalog.rows(expected.items), expected.scores, 0)
        return ListDifference.of(ranked(found), theirs, TOLERANCE)
    }

    /** Says how two answers differ beyond ties, or returns null. */
    fun difference(found: Recommendations, expected: Recommendations): String? =
        ListDifference.of(ranked(found), ranked(expected), TOLERANCE)

    private fun ranked(list: Recommendations) = Ranked(
        LongArray(list.items.size) { list.items[it].row.toLong() },
        FloatArray(list.items.size) { list.items[it].score },
        0,
    )
}
