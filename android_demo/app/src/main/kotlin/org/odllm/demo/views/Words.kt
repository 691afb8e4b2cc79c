package org.odllm.demo.views

import android.content.res.Resources
import java.text.NumberFormat
import org.odllm.demo.R
import org.odllm.demo.recommend.BundleFacts
import org.odllm.demo.recommend.Problem
import org.odllm.demo.recommend.ProblemKind
import org.odllm.demo.work.Figure
import org.odllm.demo.work.Figures
import org.odllm.demo.work.Measure
import org.odllm.recommender.Provider

/** Puts states into the words of the resources. */
class Words(private val resources: Resources) {
    private val figures = Figures()

    /** A text with its parts. */
    fun text(id: Int, vararg parts: Any): String = resources.getString(id, *parts)

    /** A text for a count. */
    fun counted(id: Int, count: Int, vararg parts: Any): String = resources.getQuantityString(id, count, *parts)

    /** A whole number. */
    fun number(value: Int): String = NumberFormat.getIntegerInstance().format(value)

    fun time(millis: Double): String = figure(figures.time(millis))

    fun size(bytes: Long): String = figure(figures.size(bytes))

    fun percent(share: Double): String =
        figures.percent(share)?.let { text(R.string.percent, it) } ?: text(R.string.percent_tiny)

    fun items(facts: BundleFacts): String = counted(R.plurals.items, facts.items, number(facts.items))

    /** What went wrong and what to do, then the library's own words. */
    fun problem(problem: Problem): String {
        val advice = text(adviceOf(problem.kind))
        return if (problem.detail == null) advice else text(R.string.problem, advice, problem.detail)
    }

    fun provider(provider: Provider): String = text(
        when (provider) {
            Provider.CPU -> R.string.cpu
            Provider.XNNPACK -> R.string.xnnpack
            Provider.NNAPI -> R.string.nnapi
            Provider.WEBGPU -> R.string.webgpu
            Provider.QNN -> R.string.qnn
        },
    )

    private fun figure(figure: Figure): String = text(
        when (figure.unit) {
            Measure.MILLISECONDS -> R.string.milliseconds
            Measure.SECONDS -> R.string.seconds
            Measure.BYTES -> R.string.bytes
            Measure.KIBIBYTES -> R.string.kibibytes
            Measure.MEBIBYTES -> R.string.mebibytes
            Measure.GIBIBYTES -> R.string.gibibytes
        },
        figure.amount,
    )
}

private fun adviceOf(kind: ProblemKind): Int =
    when (kind) {
        ProblemKind.NO_BUNDLE -> R.string.no_bundle
        ProblemKind.BUNDLE_DAMAGED -> R.string.bundle_damaged
        ProblemKind.BUNDLE_TOO_NEW -> R.string.bundle_too_new
        ProblemKind.BUNDLE_UNFIT -> R.string.bundle_unfit
        ProblemKind.NOT_ENOUGH_MEMORY -> R.string.not_enough_memory
        ProblemKind.PROVIDER_UNAVAILABLE -> R.string.provider_unavailable
        ProblemKind.HISTORY_REFUSED -> R.string.history_refused
        ProblemKind.CALCULATION_FAILED -> R.string.calculation_failed
        ProblemKind.NOT_A_BUNDLE -> R.string.not_a_bundle
        ProblemKind.UNSAFE_ARCHIVE -> R.string.unsafe_archive
        ProblemKind.BUNDLE_TOO_LARGE -> R.string.bundle_too_large
        ProblemKind.NOT_ENOUGH_STORAGE -> R.string.not_enough_storage
        ProblemKind.FILE_UNREADABLE -> R.string.file_unreadable
        ProblemKind.UNEXPECTED -> R.string.unexpected
    }
