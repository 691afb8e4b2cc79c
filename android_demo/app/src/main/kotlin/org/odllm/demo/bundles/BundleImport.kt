package org.odllm.demo.bundles

import java.util.concurrent.CancellationException
import org.odllm.demo.recommend.BundleOpener
import org.odllm.demo.recommend.ProblemKind
import org.odllm.demo.recommend.RunChoice
import org.odllm.recommender.Cancellation

private const val MOST_BYTES = 8L shl 30
private const val SPARED_BYTES = 64L shl 20

/**
 * Takes a user's bundle in: copied aside, opened once to be sure of it, renamed.
 *
 * @param mostBytes of a bundle, whatever room there is.
 * @param sparedBytes of storage that are left free.
 */
class BundleImport(
    private val store: BundleStore,
    private val opener: BundleOpener,
    private val mostBytes: Long = MOST_BYTES,
    private val sparedBytes: Long = SPARED_BYTES,
) {
    /**
     * Take a bundle in and return its key.
     *
     * Throws an [ImportException], an `IOException` or a `RecommenderException`; nothing is left behind then.
     */
    fun run(source: BundleSource, cancellation: Cancellation, progress: (bytes: Long) -> Unit): String {
        val room = store.usableBytes - sparedBytes
        if (room <= 0) {
            throw ImportException(ProblemKind.NOT_ENOUGH_STORAGE, "${store.usableBytes} bytes are free on this device.")
        }
        val staged = store.stage()
        try {
            source.copyTo(BoundedCopy(staged, minOf(mostBytes, room), cancellation, progress))
            val facts = opener.open(staged, RunChoice()).use { it.facts }
            if (cancellation.isCancelled) throw CancellationException("Loading was stopped.")
            return store.add(staged, "${facts.name}-${facts.precision}")
        } finally {
            staged.deleteRecursively()
        }
    }
}
