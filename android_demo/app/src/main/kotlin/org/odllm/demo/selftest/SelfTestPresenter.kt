package org.odllm.demo.selftest

import org.odllm.demo.bundles.Shelf
import org.odllm.demo.home.Stage
import org.odllm.demo.home.stageOf
import org.odllm.demo.recommend.Desk
import org.odllm.demo.recommend.Problem
import org.odllm.demo.recommend.TestOutcome
import org.odllm.demo.work.Outcome
import org.odllm.demo.work.Watched
import org.odllm.recommender.Cancellation

/** How far the self-test is. */
sealed class TestRun {
    data object Idle : TestRun()

    /** @property total 0 as long as nobody knows. */
    data class Running(val done: Int, val total: Int) : TestRun()

    data object Stopped : TestRun()

    data class Finished(val outcome: TestOutcome) : TestRun()

    data class Failed(val problem: Problem) : TestRun()
}

/** What the self-test's screen shows. */
data class SelfTestState(val stage: Stage = Stage.Preparing, val run: TestRun = TestRun.Idle) {
    /** Whether an open bundle has nothing to be asked. */
    val lacksTest: Boolean get() = stage is Stage.Ready && !stage.facts.hasSelfTest

    val canStart: Boolean get() = stage is Stage.Ready && !lacksTest && run !is TestRun.Running
}

/** The self-test: does this device find the lists that the model found? For the main thread. */
class SelfTestPresenter(private val shelf: Shelf, private val desk: Desk) {
    /** What to show. */
    val state = Watched(SelfTestState())

    private var asked: Cancellation? = null

    init {
        desk.state.watch { opened -> state.set(SelfTestState(stageOf(opened))) } // another bundle, another result
    }

    /** The screen is there, perhaps as the first one after the process came back. */
    fun start() = shelf.start()

    /** Try again to open the bundle. */
    fun retry() = shelf.retry()

    /** Ask the golden histories. */
    fun test() {
        if (!state.value.canStart) return
        show(TestRun.Running(0, 0))
        asked = desk.selfTest(
            progress = { done, total -> show(TestRun.Running(done, total)) },
            done = { outcome ->
                show(
                    when (outcome) {
                        is Outcome.Done -> TestRun.Finished(outcome.value)
                        is Outcome.Failed -> TestRun.Failed(outcome.problem)
                    },
                )
            },
        )
    }

    /** Stop, or leave the screen. */
    fun stop() {
        if (state.value.run !is TestRun.Running) return
        asked?.cancel() // and nobody else's question
        show(TestRun.Stopped)
    }

    private fun show(run: TestRun) = state.update { it.copy(run = run) }
}
