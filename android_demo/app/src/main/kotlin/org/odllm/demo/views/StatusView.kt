package org.odllm.demo.views

import android.app.Activity
import android.view.View
import android.widget.TextView
import org.odllm.demo.R
import org.odllm.demo.home.Stage
import org.odllm.demo.recommend.Problem
import org.odllm.recommender.Provider

/**
 * The top of every screen: how far the bundle is, and what is wrong.
 *
 * @param retry tries again what failed.
 */
class StatusView(activity: Activity, private val words: Words, retry: () -> Unit) {
    private val status: TextView = activity.findViewById(R.id.status)
    private val opening: View = activity.findViewById(R.id.opening)
    private val notice: TextView = activity.findViewById(R.id.notice)
    private val card: View = activity.findViewById(R.id.problem_card)
    private val problem: TextView = activity.findViewById(R.id.problem)

    init {
        activity.findViewById<View>(R.id.retry).setOnClickListener { retry() }
    }

    /** Show a stage; a problem of the screen itself stands before none of the bundle's. */
    fun render(stage: Stage, ofScreen: Problem? = null, dropped: Provider? = null) {
        status.showText(statusOf(stage))
        opening.showIf(stage == Stage.Preparing || stage == Stage.Opening)
        notice.showText(noticeOf(stage, dropped))
        notice.showIf(notice.text.isNotEmpty())
        val shown = (stage as? Stage.Failed)?.problem ?: ofScreen
        card.showIf(shown != null)
        problem.showText(shown?.let(words::problem).orEmpty())
    }

    private fun statusOf(stage: Stage): String =
        when (stage) {
            Stage.Preparing -> words.text(R.string.preparing)
            Stage.Opening -> words.text(R.string.opening)
            is Stage.Failed -> words.text(R.string.not_loaded)
            is Stage.Ready -> words.text(
                R.string.ready,
                stage.facts.name,
                words.items(stage.facts),
                words.size(stage.facts.bytes),
                words.time(stage.openMillis),
            )
        }

    private fun noticeOf(stage: Stage, dropped: Provider?): String {
        val facts = (stage as? Stage.Ready)?.facts
        val fallback = facts?.fallback?.let { words.text(R.string.fallback, words.provider(facts.used), it) }
        val gone = dropped?.let { words.text(R.string.dropped, words.provider(it)) }
        return listOfNotNull(fallback, gone).joinToString("\n")
    }
}

/** Show a text; an equal one is no news for a screen reader. */
fun TextView.showText(next: String) {
    if (text.toString() != next) text = next
}
