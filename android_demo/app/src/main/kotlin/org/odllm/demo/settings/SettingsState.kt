package org.odllm.demo.settings

import org.odllm.demo.bundles.StoredBundle
import org.odllm.demo.home.Stage
import org.odllm.demo.recommend.Problem
import org.odllm.recommender.Provider

/** A bundle that can be chosen. */
data class BundleRow(val bundle: StoredBundle, val isChosen: Boolean, val canDelete: Boolean)

/**
 * What the settings show.
 *
 * @property stage how far the chosen bundle is.
 * @property storedBytes of all bundles in the app's storage.
 * @property loadedBytes copied so far of a bundle that is being taken in, or null.
 * @property doomed the bundle whose deletion waits for a yes, or null.
 */
data class SettingsState(
    val stage: Stage = Stage.Preparing,
    val bundles: List<BundleRow> = emptyList(),
    val providers: List<Provider> = emptyList(),
    val provider: Provider = Provider.CPU,
    val threadChoices: List<Int> = emptyList(),
    val threads: Int = 1,
    val storedBytes: Long = 0,
    val loadedBytes: Long? = null,
    val doomed: StoredBundle? = null,
    val problem: Problem? = null,
) {
    /** Whether anything may be changed now. */
    val isFree: Boolean get() = loadedBytes == null && stage != Stage.Preparing
}
