package org.odllm.demo.bundles

import org.odllm.demo.recommend.Problem
import org.odllm.demo.recommend.RunChoice
import org.odllm.recommender.Provider

/**
 * The bundles on this device.
 *
 * @property isReady whether it was looked what is there.
 * @property providers that this device offers.
 * @property dropped the provider that was left because the app ended while it was being started, or null.
 * @property loadedBytes copied so far of a bundle that is being taken in, or null where none is.
 * @property problem why the last change failed, or null.
 */
data class ShelfState(
    val isReady: Boolean = false,
    val bundles: List<StoredBundle> = emptyList(),
    val providers: List<Provider> = listOf(Provider.CPU),
    val choice: RunChoice = RunChoice(),
    val dropped: Provider? = null,
    val loadedBytes: Long? = null,
    val problem: Problem? = null,
) {
    /** The bundle to open: the chosen one or, where that is gone, the first. */
    val chosen: StoredBundle? get() = bundles.firstOrNull { it.key == choice.bundle } ?: bundles.firstOrNull()
}
