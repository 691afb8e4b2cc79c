package org.odllm.demo.home

import kotlin.math.exp
import org.odllm.demo.bundles.Shelf
import org.odllm.demo.recommend.Answer
import org.odllm.demo.recommend.Desk
import org.odllm.demo.recommend.DeskState
import org.odllm.demo.recommend.Item
import org.odllm.demo.work.Outcome
import org.odllm.demo.work.Tasks
import org.odllm.demo.work.Watched
import org.odllm.demo.work.attempt
import org.odllm.recommender.Cancellation

/** Titles shown at once. */
const val MOST_FOUND = 40

/**
 * The first screen: a history by taps, and what comes next at every tap. Lives as long as the process, so that turning
 * the device changes nothing. For the main thread.
 *
 * @param kept the history of the last time.
 */
class HomePresenter(
    private val shelf: Shelf,
    private val desk: Desk,
    private val kept: HistoryFile,
    private val tasks: Tasks,
) {
    /** What to show. */
    val state = Watched(HomeState())

    private var history = History()
    private var found: List<Item> = emptyList()
    private var isHistoryRead = false
    private var searches = 0
    private var asked: Cancellation? = null
    private var screens = 0

    init {
        shelf.state.watch { shelved -> state.update { it.copy(dropped = shelved.dropped) } }
        desk.state.watch(::follow)
    }

    /** A screen was made. There may be several, as when the launcher adds one to the one of an installer. */
    fun enter() {
        screens++
    }

    /** The screen is there: open the bundle unless it is open, and bring back the history. */
    fun start() {
        shelf.start()
        if (state.value.isAsking && asked?.isCancelled == true) refresh() // a self-test has ended the question
        if (isHistoryRead) return
        isHistoryRead = true
        tasks.quick.execute {
            val read = attempt { kept.read() }
            tasks.main.execute {
                val items = (read as? Outcome.Done)?.value.orEmpty()
                history = History(items + history.items)
                refresh()
            }
        }
    }

    /** A screen is gone. If it was the last and will not come back, what is open is freed. */
    fun leave(isForGood: Boolean) {
        screens--
        if (isForGood && screens == 0) shelf.close()
    }

    /** Memory is short. */
    fun trimMemory() = desk.releaseCache()

    /** Try again what failed. */
    fun retry() = if (desk.state.value is DeskState.Open) refresh() else shelf.retry()

    /** Show the titles that have these words. */
    fun search(query: String) {
        if (query == state.value.query) return
        state.update { it.copy(query = query) }
        find()
    }

    fun add(item: Item) = change(history.plus(item))

    /** Begin with the bundle's example. */
    fun tryExample() {
        if (!state.value.hasExample) return
        asked = desk.example { outcome ->
            when (outcome) {
                is Outcome.Done -> change(history.plus(outcome.value))
                is Outcome.Failed -> state.update { it.copy(problem = outcome.problem) }
            }
        }
    }

    fun remove(index: Int) = change(history.without(index))

    fun move(from: Int, to: Int) = change(history.moved(from, to))

    fun clear() = change(history.cleared())

    fun undo() = change(history.undone())

    private fun change(next: History) {
        if (next === history) return
        history = next
        tasks.quick.execute { attempt { kept.write(next.items) } }
        refresh()
    }

    private fun follow(opened: DeskState) {
        state.update { it.copy(stage = stageOf(opened)) }
        if (opened is DeskState.Open) find()
        refresh()
    }

    /** Show the history as it is now, and ask what comes next. */
    private fun refresh() {
        val opened = desk.state.value as? DeskState.Open
        val chips = chipsOf(history.items, opened)
        val isCut = opened != null && chips.count { it.isKnown } > opened.facts.window
        state.update {
            it.copy(
                found = marked(),
                chips = chips,
                window = if (isCut) opened.facts.window else null,
                canUndo = history.canUndo,
                problem = null,
            )
        }
        ask(chips.filter { it.isKnown }.map { it.item.id }, isOpen = opened != null)
    }

    private fun ask(ids: List<String>, isOpen: Boolean) {
        if (!isOpen || ids.isEmpty()) {
            asked?.cancel()
            state.update { it.copy(next = null, isAsking = false) }
            return
        }
        state.update { it.copy(isAsking = true) }
        asked = desk.ask(ids) { outcome ->
            state.update {
                when (outcome) {
                    is Outcome.Done -> it.copy(next = nextListOf(outcome.value), isAsking = false)
                    is Outcome.Failed -> it.copy(next = null, isAsking = false, problem = outcome.problem)
                }
            }
        }
    }

    private fun find() {
        val titles = (desk.state.value as? DeskState.Open)?.titles ?: return
        val query = state.value.query
        val number = ++searches
        tasks.quick.execute {
            val outcome = attempt { titles.search(query, MOST_FOUND + 1) }
            tasks.main.execute {
                if (number == searches && outcome is Outcome.Done) {
                    found = outcome.value.take(MOST_FOUND)
                    state.update { it.copy(found = marked(), isFoundCut = outcome.value.size > MOST_FOUND) }
                }
            }
        }
    }

    private fun marked(): List<FoundRow> {
        val tapped = history.items.mapTo(HashSet()) { it.id }
        return found.map { FoundRow(it, it.id in tapped) }
    }
}

private fun chipsOf(items: List<Item>, opened: DeskState.Open?): List<Chip> {
    val now = items.map { opened?.titles?.find(it.id) }
    val window = opened?.facts?.window ?: items.size
    var left = now.count { it != null }
    return items.mapIndexed { index, item ->
        val isKnown = opened == null || now[index] != null
        val isRead = isKnown && (opened == null || left <= window)
        if (now[index] != null) left--
        Chip(now[index] ?: item, isKnown, isRead)
    }
}

private fun nextListOf(answer: Answer): NextList {
    val shares = answer.items.map { exp(it.score.toDouble()) }
    val most = shares.maxOrNull() ?: 1.0
    val rows = answer.items.mapIndexed { index, ranked ->
        NextRow(index + 1, ranked.item, shares[index], if (most > 0) (shares[index] / most).toFloat() else 0f)
    }
    return NextList(rows, answer.timeMillis, answer.memoryBytes)
}
