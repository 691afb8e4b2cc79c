package org.odllm.demo.home

import android.app.Activity
import android.view.View
import android.widget.TextView
import org.odllm.demo.R
import org.odllm.demo.views.RowList
import org.odllm.demo.views.ShareBar
import org.odllm.demo.views.Words
import org.odllm.demo.views.sayOnTap
import org.odllm.demo.views.showIf
import org.odllm.demo.views.showText

/** Shows what comes next. */
class NextView(activity: Activity, private val words: Words, private val presenter: HomePresenter) {
    private val cost: TextView = activity.findViewById(R.id.cost)
    private val empty: TextView = activity.findViewById(R.id.next_empty)
    private val ranked: RowList = activity.findViewById(R.id.ranked)

    /** Show the list of a state. The last one stays until the next is there, so that nothing jumps. */
    fun render(state: HomeState) {
        val next = state.next
        empty.showText(words.text(if (next == null) R.string.next_empty else R.string.next_none))
        empty.showIf(next?.rows.isNullOrEmpty() && !state.isAsking)
        cost.showText(if (next == null) waitingText(state) else costOf(next))
        val said = next?.let(::saidOf)
        if (cost.contentDescription?.toString() != said) cost.contentDescription = said
        ranked.show(next?.rows.orEmpty(), R.layout.row_next) { row, shown, _ -> show(row, shown) }
    }

    private fun waitingText(state: HomeState) = if (state.isAsking) words.text(R.string.asking) else ""

    private fun costOf(next: NextList): String {
        val time = words.time(next.timeMillis)
        return next.memoryBytes?.let { words.text(R.string.cost, time, words.size(it)) } ?: time
    }

    /** What a screen reader says when the list is another. */
    private fun saidOf(next: NextList): String? = next.rows.firstOrNull()?.let {
        words.counted(R.plurals.next_said, next.rows.size, next.rows.size, words.time(next.timeMillis), it.item.title)
    }

    private fun show(row: View, shown: NextRow) {
        val share = words.percent(shown.share)
        row.findViewById<TextView>(R.id.rank).text = words.number(shown.rank)
        row.findViewById<TextView>(R.id.title).text = shown.item.title
        row.findViewById<TextView>(R.id.share).text = share
        row.findViewById<ShareBar>(R.id.share_bar).fill = shown.fill
        row.contentDescription = words.text(R.string.next_row, shown.rank, shown.item.title, share)
        row.sayOnTap(words.text(R.string.add))
        row.setOnClickListener { presenter.add(shown.item) }
    }
}
