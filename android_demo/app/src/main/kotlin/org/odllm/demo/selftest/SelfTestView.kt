package org.odllm.demo.selftest

import android.app.Activity
import android.view.View
import android.widget.ProgressBar
import android.widget.TextView
import org.odllm.demo.R
import org.odllm.demo.ownPackage
import org.odllm.demo.recommend.TestOutcome
import org.odllm.demo.views.StatusView
import org.odllm.demo.views.Words
import org.odllm.demo.views.showIf
import org.odllm.demo.views.showText

/** Shows a [SelfTestState] and tells the presenter what was done. */
class SelfTestView(activity: Activity, presenter: SelfTestPresenter) {
    private val words = Words(activity.resources)
    private val status = StatusView(activity, words, presenter::retry)
    private val start: View = activity.findViewById(R.id.start)
    private val stop: View = activity.findViewById(R.id.stop)
    private val progress: ProgressBar = activity.findViewById(R.id.progress)
    private val result: TextView = activity.findViewById(R.id.result)

    init {
        start.setOnClickListener { presenter.test() }
        stop.setOnClickListener { presenter.stop() }
        activity.findViewById<TextView>(R.id.version).text =
            words.text(R.string.version, ownPackage(activity).versionName.orEmpty())
    }

    /** Show a state. */
    fun render(state: SelfTestState) {
        val running = state.run as? TestRun.Running
        status.render(state.stage, (state.run as? TestRun.Failed)?.problem)
        start.isEnabled = state.canStart
        stop.showIf(running != null)
        progress.showIf(running != null)
        progress.isIndeterminate = running == null || running.total == 0
        progress.max = running?.total ?: 1
        progress.progress = running?.done ?: 0
        result.showText(if (state.lacksTest) words.text(R.string.self_test_none) else resultOf(state.run))
    }

    private fun resultOf(run: TestRun): String =
        when (run) {
            is TestRun.Finished -> foundOf(run.outcome)
            is TestRun.Running -> runningOf(run)
            TestRun.Stopped -> words.text(R.string.self_test_stopped)
            TestRun.Idle, is TestRun.Failed -> ""
        }

    private fun runningOf(run: TestRun.Running): String =
        if (run.total == 0) {
            words.text(R.string.self_test_wait)
        } else {
            words.text(R.string.self_test_progress, run.done, run.total)
        }

    private fun foundOf(outcome: TestOutcome): String {
        val lists = words.counted(R.plurals.equal_lists, outcome.cases, outcome.equal, outcome.cases)
        val share = words.percent(outcome.overlap)
        if (outcome.isPassed) return words.text(R.string.self_test_passed, lists, share)
        return words.text(R.string.self_test_failed, lists, share, outcome.difference.orEmpty())
    }
}
