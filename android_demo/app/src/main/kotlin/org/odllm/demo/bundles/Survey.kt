package org.odllm.demo.bundles

import org.odllm.demo.recommend.BundleOpener
import org.odllm.demo.work.Outcome
import org.odllm.demo.work.attempt
import org.odllm.recommender.Provider

/**
 * Looks what is on this device, once when the app starts.
 *
 * @param shipped what came with the app.
 */
class Survey(
    private val store: BundleStore,
    private val shipped: ShippedBundles,
    private val choices: ChoiceFile,
    private val opener: BundleOpener,
) {
    /** Bring the app's own bundles into the store and return what is there. May take long the first time. */
    fun run(): ShelfState {
        store.sweep()
        val installed = attempt { shipped.install() } // the bundles that are there can be used all the same
        val providers = attempt { opener.providers }
        val found = ShelfState(
            isReady = true,
            bundles = store.list(),
            providers = (providers as? Outcome.Done)?.value ?: listOf(Provider.CPU),
            choice = choices.read(),
            problem = (installed as? Outcome.Failed)?.problem,
        )
        val hung = choices.starting ?: return found
        choices.starting = null
        val safe = found.choice.copy(provider = Provider.CPU)
        choices.write(safe)
        return found.copy(choice = safe, dropped = hung)
    }
}
