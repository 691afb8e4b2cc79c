package org.odllm.demo.home

import android.app.Activity
import android.view.View
import android.widget.HorizontalScrollView
import android.widget.PopupMenu
import android.widget.TextView
import org.odllm.demo.R
import org.odllm.demo.views.RowList
import org.odllm.demo.views.Words
import org.odllm.demo.views.sayOnTap
import org.odllm.demo.views.showIf
import org.odllm.demo.views.showText

/** Shows the history as chips: a tap removes one, a long press moves it. */
class HistoryView(activity: Activity, private val words: Words, private val presenter: HomePresenter) {
    private val undo: View = activity.findViewById(R.id.undo)
    private val clear: View = activity.findViewById(R.id.clear)
    private val empty: View = activity.findViewById(R.id.history_empty)
    private val example: View = activity.findViewById(R.id.example)
    private val hint: TextView = activity.findViewById(R.id.history_hint)
    private val scroll: HorizontalScrollView = activity.findViewById(R.id.history_scroll)
    private val chips: RowList = activity.findViewById(R.id.history)
    private val read = activity.getColor(R.color.ink)
    private val unread = activity.getColor(R.color.soft)
    private var shown: List<Chip>? = null

    init {
        undo.setOnClickListener { presenter.undo() }
        clear.setOnClickListener { presenter.clear() }
        example.setOnClickListener { presenter.tryExample() }
    }

    /** Show the history of a state. */
    fun render(state: HomeState) {
        undo.showIf(state.canUndo)
        clear.showIf(state.chips.isNotEmpty())
        empty.showIf(state.chips.isEmpty())
        example.showIf(state.hasExample)
        scroll.showIf(state.chips.isNotEmpty())
        hint.showText(hintOf(state))
        hint.showIf(hint.text.isNotEmpty())
        val last = shown
        if (last == state.chips) return
        shown = state.chips
        chips.show(state.chips, R.layout.chip) { view, chip, index ->
            show(view as TextView, chip, index, state.chips.size)
        }
        if (last == null || last.size < state.chips.size) {
            scroll.post { showLast() } // after they have their places
        }
    }

    private fun showLast() {
        val isRightToLeft = scroll.layoutDirection == View.LAYOUT_DIRECTION_RTL
        scroll.scrollTo(if (isRightToLeft) 0 else chips.width, 0)
    }

    private fun hintOf(state: HomeState): String = listOfNotNull(
        state.window?.let { words.counted(R.plurals.window, it, it) },
        state.unknown.takeIf { it > 0 }?.let { words.counted(R.plurals.unknown, it, it) },
    ).joinToString("\n")

    private fun show(view: TextView, chip: Chip, index: Int, count: Int) {
        val title = chip.item.title
        view.text = if (chip.isKnown) title else words.text(R.string.unknown_title, title)
        view.setTextColor(if (chip.isRead) read else unread)
        view.setBackgroundResource(if (chip.isRead) R.drawable.chip else R.drawable.chip_unread)
        val said = when {
            !chip.isKnown -> R.string.chip_unknown
            chip.isRead -> R.string.chip
            else -> R.string.chip_unread
        }
        view.contentDescription = words.text(said, title, index + 1, count)
        view.sayOnTap(words.text(R.string.remove))
        view.setOnClickListener { presenter.remove(index) }
        view.setOnLongClickListener { offerMoves(view, index) }
    }

    private fun offerMoves(chip: View, index: Int): Boolean {
        val menu = PopupMenu(chip.context, chip)
        menu.inflate(R.menu.chip)
        menu.setOnMenuItemClickListener { item ->
            when (item.itemId) {
                R.id.move_earlier -> presenter.move(index, index - 1)
                R.id.move_later -> presenter.move(index, index + 1)
                else -> presenter.remove(index)
            }
            true
        }
        menu.show()
        return true
    }
}
