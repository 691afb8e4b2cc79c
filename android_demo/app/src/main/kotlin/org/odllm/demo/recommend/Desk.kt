package org.odllm.demo.recommend

import java.io.File
import java.util.concurrent.atomic.AtomicInteger
import org.odllm.demo.work.Outcome
import org.odllm.demo.work.Tasks
import org.odllm.demo.work.Watched
import org.odllm.demo.work.attempt
import org.odllm.recommender.Cancellation

/** What is on the desk. */
sealed class DeskState {
    data object Closed : DeskState()

    data object Opening : DeskState()

    /** @property openMillis how long opening took. */
    data class Open(val facts: BundleFacts, val titles: TitleList, val openMillis: Double) : DeskState()

    data class Failed(val problem: Problem) : DeskState()
}

/**
 * Where the one open bundle lies, and where its questions wait.
 *
 * Called on the main thread; the bundle itself is touched on the model's thread only. A new question ends the one
 * before it, and what an ended question finds is told to nobody.
 */
class Desk(
    private val opener: BundleOpener,
    private val tasks: Tasks,
    private val nanoTime: () -> Long = System::nanoTime,
) {
    /** What is open now. */
    val state: Watched<DeskState> = Watched(DeskState.Closed)

    private var running = Cancellation()
    private val newest = AtomicInteger()
    private var bundle: OpenBundle? = null // of the model's thread

    /** Open a bundle; what was open is closed first. `done` hears how it went, unless something newer came. */
    fun open(folder: File, choice: RunChoice, done: (DeskState) -> Unit = {}) {
        val number = replace(DeskState.Opening)
        tasks.model.execute {
            release()
            if (number != newest.get()) return@execute
            val found = opened(folder, choice)
            tasks.main.execute {
                if (number != newest.get()) return@execute
                state.set(found)
                done(found)
            }
        }
    }

    /** Close what is open and end what runs. */
    fun close() {
        replace(DeskState.Closed)
        tasks.model.execute { release() }
    }

    /** Show that nothing can be opened. */
    fun fail(problem: Problem) {
        close()
        state.set(DeskState.Failed(problem))
    }

    /** Ask what comes next; an earlier question ends. What comes back ends this one, and says whether it was ended. */
    fun ask(history: List<String>, done: (Outcome<Answer>) -> Unit): Cancellation =
        call(done) { bundle, cancellation -> bundle.ask(history, cancellation) }

    /** Ask the golden histories; otherwise as [ask]. */
    fun selfTest(progress: (done: Int, total: Int) -> Unit, done: (Outcome<TestOutcome>) -> Unit): Cancellation =
        call(done) { bundle, cancellation ->
            bundle.selfTest(cancellation) { count, total ->
                tasks.main.execute { if (!cancellation.isCancelled) progress(count, total) }
            }
        }

    /** Look up a history to begin with; otherwise as [ask]. */
    fun example(done: (Outcome<List<Item>>) -> Unit): Cancellation = call(done) { bundle, _ -> bundle.example() }

    /** Let go of the keys and values of past calls; the next one runs its whole history. */
    fun releaseCache() = tasks.model.execute { attempt { bundle?.releaseCache() } }

    private fun <T> call(done: (Outcome<T>) -> Unit, work: (OpenBundle, Cancellation) -> T): Cancellation {
        val cancellation = renew()
        tasks.model.execute {
            if (cancellation.isCancelled) return@execute
            val outcome = attempt {
                work(checkNotNull(bundle) { "No bundle is open: open one first." }, cancellation)
            }
            tasks.main.execute { if (!cancellation.isCancelled) done(outcome) }
        }
        return cancellation
    }

    private fun renew(): Cancellation {
        running.cancel()
        running = Cancellation()
        return running
    }

    private fun replace(next: DeskState): Int {
        running.cancel()
        val number = newest.incrementAndGet()
        state.set(next)
        return number
    }

    private fun opened(folder: File, choice: RunChoice): DeskState {
        val started = nanoTime()
        return when (val outcome = attempt { opener.open(folder, choice) }) {
            is Outcome.Failed -> DeskState.Failed(outcome.problem)
            is Outcome.Done -> {
                bundle = outcome.value
                DeskState.Open(outcome.value.facts, outcome.value.titles, (nanoTime() - started) / NANOS_OF_MILLI)
            }
        }
    }

    private fun release() {
        val last = bundle
        bundle = null
        attempt { last?.close() }
    }
}

private const val NANOS_OF_MILLI = 1e6
