package org.odllm.demo.bundles

import org.odllm.demo.recommend.Desk
import org.odllm.demo.recommend.DeskState
import org.odllm.demo.recommend.Problem
import org.odllm.demo.recommend.ProblemKind
import org.odllm.demo.recommend.RunChoice
import org.odllm.demo.work.Outcome
import org.odllm.demo.work.Tasks
import org.odllm.demo.work.Watched
import org.odllm.demo.work.attempt
import org.odllm.recommender.Cancellation

private const val TOLD_EVERY_BYTES = 1L shl 20

/** The bundles on this device; puts the chosen one on the desk. For the main thread. */
class Shelf(
    private val survey: Survey,
    private val store: BundleStore,
    private val taking: BundleImport,
    private val choices: ChoiceFile,
    private val desk: Desk,
    private val tasks: Tasks,
) {
    /** What is there now. */
    val state = Watched(ShelfState())

    private var isWanted = false
    private var isSurveying = false
    private var loading: Cancellation? = null

    /** Look what is there and open the chosen bundle, unless that is done or on its way. */
    fun start() {
        isWanted = true
        if (!state.value.isReady) return lookAround()
        if (desk.state.value == DeskState.Closed) openChosen()
    }

    private fun lookAround() {
        if (isSurveying) return
        isSurveying = true
        tasks.model.execute {
            val outcome = attempt { survey.run() }
            tasks.main.execute {
                isSurveying = false
                when (outcome) {
                    is Outcome.Done -> {
                        state.update { outcome.value.keeping(it) }
                        openChosen()
                    }
                    is Outcome.Failed -> desk.fail(outcome.problem)
                }
            }
        }
    }

    /** Close what is open; nothing opens by itself until the next start. */
    fun close() {
        isWanted = false
        stopLoading()
        desk.close()
    }

    /** Run something else, or the same otherwise. */
    fun choose(choice: RunChoice) {
        val isOpen = desk.state.value is DeskState.Open || desk.state.value == DeskState.Opening
        if (choice != state.value.choice || !isOpen) take(choice)
    }

    private fun take(choice: RunChoice) {
        state.update { it.copy(choice = choice, dropped = null) }
        tasks.quick.execute { attempt { choices.write(choice) } }
        openChosen()
    }

    /** Try again what failed: opening the chosen bundle, or all from looking what is there. */
    fun retry() {
        if (state.value.chosen != null && state.value.problem == null) return openChosen()
        state.update { it.copy(problem = null) }
        desk.close()
        lookAround()
    }

    /** Take a bundle in and open it. The open one is closed meanwhile, so that only one is in memory. */
    fun load(source: BundleSource) {
        if (loading != null) return
        val cancellation = Cancellation()
        loading = cancellation
        desk.close()
        state.update { it.copy(loadedBytes = 0, problem = null) }
        tasks.model.execute {
            val outcome = attempt { taking.run(source, cancellation, progressOf(cancellation)) }
            val bundles = store.list()
            tasks.main.execute {
                loading = null
                val problem = (outcome as? Outcome.Failed)?.problem.takeUnless { cancellation.isCancelled }
                state.update { it.copy(bundles = bundles, loadedBytes = null, problem = problem) }
                if (outcome is Outcome.Done) take(state.value.choice.copy(bundle = outcome.value)) else openChosen()
            }
        }
    }

    /** Stop taking a bundle in; what was copied of it goes. */
    fun stopLoading() {
        loading?.cancel()
    }

    /** Remove a bundle that its user brought. */
    fun delete(key: String) {
        val doomed = state.value.bundles.firstOrNull { it.key == key && it.origin == Origin.LOADED } ?: return
        val wasOpen = doomed == state.value.chosen
        if (wasOpen) desk.close()
        tasks.model.execute {
            val outcome = attempt { store.delete(doomed) }
            val bundles = store.list()
            tasks.main.execute {
                state.update { it.copy(bundles = bundles, problem = (outcome as? Outcome.Failed)?.problem) }
                if (wasOpen) openChosen()
            }
        }
    }

    private fun openChosen() {
        if (!isWanted || loading != null) return
        val bundle = state.value.chosen
            ?: return desk.fail(state.value.problem ?: Problem(ProblemKind.NO_BUNDLE)) // why there is none, if known
        desk.open(bundle.folder, state.value.choice)
    }

    private fun progressOf(cancellation: Cancellation): (Long) -> Unit {
        var told = 0L
        return { bytes ->
            if (bytes - told >= TOLD_EVERY_BYTES) {
                told = bytes
                tasks.main.execute {
                    if (loading === cancellation) state.update { it.copy(loadedBytes = bytes) }
                }
            }
        }
    }
}

/** What was found, with what this process knows better than the storage. */
private fun ShelfState.keeping(known: ShelfState): ShelfState {
    if (!known.isReady) return copy(loadedBytes = known.loadedBytes)
    return copy(choice = known.choice, dropped = known.dropped, loadedBytes = known.loadedBytes)
}
