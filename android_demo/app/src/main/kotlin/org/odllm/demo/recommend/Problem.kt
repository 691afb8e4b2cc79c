package org.odllm.demo.recommend

import java.io.IOException
import org.odllm.demo.bundles.ImportException
import org.odllm.recommender.BundleDamagedException
import org.odllm.recommender.BundleException
import org.odllm.recommender.BundleNotFoundException
import org.odllm.recommender.BundleTooNewException
import org.odllm.recommender.InvalidRequestException
import org.odllm.recommender.NotEnoughMemoryException
import org.odllm.recommender.ProviderUnavailableException
import org.odllm.recommender.RecommenderException

/** What a failure asks of the user; the screen has words for each. */
enum class ProblemKind {
    NO_BUNDLE,
    BUNDLE_DAMAGED,
    BUNDLE_TOO_NEW,
    BUNDLE_UNFIT,
    NOT_ENOUGH_MEMORY,
    PROVIDER_UNAVAILABLE,
    HISTORY_REFUSED,
    CALCULATION_FAILED,
    NOT_A_BUNDLE,
    UNSAFE_ARCHIVE,
    BUNDLE_TOO_LARGE,
    NOT_ENOUGH_STORAGE,
    FILE_UNREADABLE,
    UNEXPECTED,
}

/**
 * Something that went wrong.
 *
 * @property kind what it asks of the user.
 * @property detail the library's own words, or null where `kind` says it all.
 */
data class Problem(val kind: ProblemKind, val detail: String? = null)

/** Return what a failure asks of the user. */
fun problemOf(failure: Throwable): Problem = Problem(kindOf(failure), failure.message ?: failure.javaClass.simpleName)

private fun kindOf(failure: Throwable): ProblemKind =
    when (failure) {
        is ImportException -> failure.kind
        is RecommenderException -> kindOf(failure)
        is OutOfMemoryError -> ProblemKind.NOT_ENOUGH_MEMORY
        is IOException, is SecurityException -> ProblemKind.FILE_UNREADABLE
        else -> ProblemKind.UNEXPECTED
    }

private fun kindOf(failure: RecommenderException): ProblemKind =
    when (failure) {
        is BundleNotFoundException -> ProblemKind.NOT_A_BUNDLE
        is BundleDamagedException -> ProblemKind.BUNDLE_DAMAGED
        is BundleTooNewException -> ProblemKind.BUNDLE_TOO_NEW
        is BundleException -> ProblemKind.BUNDLE_UNFIT
        is NotEnoughMemoryException -> ProblemKind.NOT_ENOUGH_MEMORY
        is ProviderUnavailableException -> ProblemKind.PROVIDER_UNAVAILABLE
        is InvalidRequestException -> ProblemKind.HISTORY_REFUSED
        else -> ProblemKind.CALCULATION_FAILED
    }
