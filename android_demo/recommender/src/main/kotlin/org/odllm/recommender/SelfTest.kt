package org.odllm.recommender

/** Told about a self-test's progress. */
public fun interface SelfTestProgress {
    /** [done] of [total] questions were asked. */
    public fun onProgress(done: Int, total: Int)
}

/**
 * How a bundle's answers compare with the lists that it was exported with.
 *
 * @property cases questions that were asked.
 * @property equalLists answers that are the expected lists up to ties.
 * @property meanOverlap share of the expected items that came back, on average.
 * @property largestScoreDifference of the items that are in both lists.
 * @property minOverlap below 1, of rounded precisions: the overlap that is enough; 1: all lists must be equal up to
 *   ties.
 * @property computedBy whose the expected lists are: `model`, or `graph` after a change of the catalogue.
 * @property passed whether the bundle computes here what it should.
 * @property firstDifference how the first answer that is another list differs; null where none is.
 */
public class SelfTestReport internal constructor(
    public val cases: Int,
    public val equalLists: Int,
    public val meanOverlap: Double,
    public val largestScoreDifference: Double,
    public val minOverlap: Double,
    public val computedBy: String,
    public val firstDifference: String?,
) {
    public val passed: Boolean = if (minOverlap < 1) meanOverlap >= minOverlap else equalLists == cases

    override fun toString(): String {
        val difference = if (firstDifference == null) "" else ", $firstDifference"
        return "${if (passed) "passed" else "failed"}: $equalLists of $cases lists equal$difference"
    }
}

/** Asks a bundle its golden questions; `odllm_export/golden_check.py` is the same in Python. */
internal class SelfTest(private val content: BundleContent) {
    private val golden = Golden.read(content)

    /** @param ask answers a question. */
    fun run(progress: SelfTestProgress, ask: (Question) -> Ranked): SelfTestReport {
        var equal = 0
        var overlap = 0.0
        var largest = 0.0
        var first: String? = null
        for ((at, case) in golden.cases.withIndex()) {
            val found = ask(case.question)
            val difference = ListDifference.of(found, case.expected, golden.scoreTolerance)
            if (difference == null) equal++ else if (first == null) first = "case ${at + 1}: $difference"
            overlap += ListDifference.overlap(found, case.expected)
            largest = maxOf(largest, ListDifference.largest(found, case.expected))
            progress.onProgress(at + 1, golden.cases.size)
        }
        val cases = golden.cases.size
        return SelfTestReport(cases, equal, overlap / cases, largest, golden.minOverlap, golden.computedBy, first)
    }
}
