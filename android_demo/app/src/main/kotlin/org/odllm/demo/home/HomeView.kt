package org.odllm.demo.home

import android.app.Activity
import android.text.Editable
import android.text.TextWatcher
import android.view.View
import android.widget.EditText
import android.widget.ImageView
import android.widget.ScrollView
import android.widget.TextView
import org.odllm.demo.R
import org.odllm.demo.views.RowList
import org.odllm.demo.views.StatusView
import org.odllm.demo.views.Words
import org.odllm.demo.views.hideKeyboard
import org.odllm.demo.views.sayOnTap
import org.odllm.demo.views.showIf
import org.odllm.demo.views.showText

/** Shows a [HomeState] and tells the presenter what was done. */
class HomeView(activity: Activity, private val presenter: HomePresenter) {
    private val words = Words(activity.resources)
    private val status = StatusView(activity, words, presenter::retry)
    private val history = HistoryView(activity, words, presenter)
    private val next = NextView(activity, words, presenter)
    private val search: EditText = activity.findViewById(R.id.search)
    private val count: TextView = activity.findViewById(R.id.found_count)
    private val found: RowList = activity.findViewById(R.id.found)
    private val scroll: ScrollView? = activity.findViewById(R.id.found_scroll)
    private var shown: HomeState? = null

    init {
        search.addTextChangedListener(Typing { search() })
        activity.findViewById<View>(R.id.next_pane)?.let { giveWay(activity.findViewById(R.id.root), it) }
    }

    /** Show the titles for what is typed now. */
    fun search() = presenter.search(search.text.toString())

    /** Show a state; what did not change is left alone. */
    fun render(state: HomeState) {
        val last = shown
        shown = state
        status.render(state.stage, state.problem, state.dropped)
        if (last == null || isFoundOther(last, state)) showFound(state)
        if (last != null && last.query != state.query) scroll?.scrollTo(0, 0)
        history.render(state)
        next.render(state)
    }

    private fun isFoundOther(last: HomeState, state: HomeState): Boolean =
        last.found != state.found || last.isFoundCut != state.isFoundCut || last.stage != state.stage

    private fun showFound(state: HomeState) {
        val isReady = state.stage is Stage.Ready
        val number = words.number(state.found.size)
        count.showText(
            when {
                !isReady || (state.found.isEmpty() && state.query.isEmpty()) -> "" // it is being looked up
                state.found.isEmpty() -> words.text(R.string.no_title)
                state.isFoundCut -> words.text(R.string.found_cut, number)
                else -> words.counted(R.plurals.found, state.found.size, number)
            },
        )
        found.show(state.found, R.layout.row_found) { row, shown, _ -> showFound(row, shown) }
    }

    private fun showFound(row: View, shown: FoundRow) {
        val title = shown.item.title
        row.findViewById<TextView>(R.id.title).text = title
        row.findViewById<ImageView>(R.id.mark)
            .setImageResource(if (shown.isInHistory) R.drawable.ic_check else R.drawable.ic_add)
        row.contentDescription = if (shown.isInHistory) words.text(R.string.in_history, title) else title
        row.sayOnTap(words.text(R.string.add))
        row.setOnClickListener {
            search.hideKeyboard() // so that what comes next is in sight
            presenter.add(shown.item)
        }
    }
}

/** Hears every change of a text. */
private class Typing(private val changed: () -> Unit) : TextWatcher {
    override fun beforeTextChanged(text: CharSequence?, start: Int, count: Int, after: Int) = Unit

    override fun onTextChanged(text: CharSequence?, start: Int, before: Int, count: Int) = Unit

    override fun afterTextChanged(text: Editable?) = changed()
}
