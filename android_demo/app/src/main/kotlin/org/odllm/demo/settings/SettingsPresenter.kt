package org.odllm.demo.settings

import org.odllm.demo.bundles.BundleSource
import org.odllm.demo.bundles.Origin
import org.odllm.demo.bundles.Shelf
import org.odllm.demo.bundles.ShelfState
import org.odllm.demo.home.stageOf
import org.odllm.demo.recommend.Desk
import org.odllm.demo.work.Watched
import org.odllm.recommender.Provider

private const val MOST_THREADS = 8

/**
 * The settings: which bundle, on what, with how many threads. For the main thread.
 *
 * @param cores of this device.
 */
class SettingsPresenter(private val shelf: Shelf, private val desk: Desk, cores: Int) {
    /** What to show. */
    val state = Watched(SettingsState(threadChoices = (1..cores.coerceIn(1, MOST_THREADS)).toList()))

    init {
        shelf.state.watch(::follow)
        desk.state.watch { opened -> state.update { it.copy(stage = stageOf(opened)) } }
    }

    /** The screen is there, perhaps as the first one after the process came back. */
    fun start() = shelf.start()

    /** Try again what failed. */
    fun retry() = shelf.retry()

    /** The screen was left: what is being copied stops. */
    fun leave() = shelf.stopLoading()

    fun chooseBundle(key: String) = shelf.choose(shelf.state.value.choice.copy(bundle = key))

    fun chooseProvider(provider: Provider) = shelf.choose(shelf.state.value.choice.copy(provider = provider))

    fun chooseThreads(threads: Int) = shelf.choose(shelf.state.value.choice.copy(threads = threads))

    /** Take in what the user picked. */
    fun load(source: BundleSource) = shelf.load(source)

    fun stopLoading() = shelf.stopLoading()

    /** Ask whether a bundle is to go. */
    fun askToDelete(key: String) = state.update { shown ->
        shown.copy(doomed = shown.bundles.firstOrNull { it.bundle.key == key && it.canDelete }?.bundle)
    }

    /** The answer to that. */
    fun answerDelete(isYes: Boolean) {
        val doomed = state.value.doomed ?: return
        state.update { it.copy(doomed = null) }
        if (isYes) shelf.delete(doomed.key)
    }

    private fun follow(shelved: ShelfState) {
        val chosen = shelved.chosen
        state.update { shown ->
            shown.copy(
                bundles = shelved.bundles.map { BundleRow(it, it == chosen, it.origin == Origin.LOADED) },
                providers = shelved.providers,
                provider = shelved.choice.provider,
                threads = shelved.choice.threads,
                storedBytes = shelved.bundles.map { it.bytes }.sum(),
                loadedBytes = shelved.loadedBytes,
                problem = shelved.problem,
            )
        }
    }
}
