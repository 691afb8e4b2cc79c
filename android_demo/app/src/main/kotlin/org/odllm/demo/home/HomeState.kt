package org.odllm.demo.home

import org.odllm.demo.recommend.BundleFacts
import org.odllm.demo.recommend.Item
import org.odllm.demo.recommend.Problem
import org.odllm.recommender.Provider

/** How far the bundle is. */
sealed class Stage {
    /** Looking what is on this device; the first time, copying it there. */
    data object Preparing : Stage()

    data object Opening : Stage()

    data class Ready(val facts: BundleFacts, val openMillis: Double) : Stage()

    data class Failed(val problem: Problem) : Stage()
}

/** A title that was found. */
data class FoundRow(val item: Item, val isInHistory: Boolean)

/**
 * An item of the history.
 *
 * @property isRead whether the model reads it: it is among the last ones and the catalogue has it.
 */
data class Chip(val item: Item, val isKnown: Boolean, val isRead: Boolean)

/**
 * An item that comes next.
 *
 * @property share its probability, 0 to 1.
 * @property fill the length of its bar, 0 to 1: the best item's is 1.
 */
data class NextRow(val rank: Int, val item: Item, val share: Double, val fill: Float)

/** The list of what comes next and what it cost. */
data class NextList(val rows: List<NextRow>, val timeMillis: Double, val memoryBytes: Long?)

/**
 * What the first screen shows.
 *
 * @property isFoundCut whether more titles match than are shown.
 * @property window how many items are read, where the history has more; else null.
 * @property next null where nothing was asked.
 * @property isAsking whether a list is on its way.
 * @property problem why the last question failed, or null.
 * @property dropped the provider that was left because the app ended while it was being started, or null.
 */
data class HomeState(
    val stage: Stage = Stage.Preparing,
    val query: String = "",
    val found: List<FoundRow> = emptyList(),
    val isFoundCut: Boolean = false,
    val chips: List<Chip> = emptyList(),
    val window: Int? = null,
    val canUndo: Boolean = false,
    val next: NextList? = null,
    val isAsking: Boolean = false,
    val problem: Problem? = null,
    val dropped: Provider? = null,
) {
    /** How many items of the history the catalogue lacks. */
    val unknown: Int get() = chips.count { !it.isKnown }

    /** Whether there is an example to begin with. */
    val hasExample: Boolean get() = chips.isEmpty() && stage is Stage.Ready && stage.facts.hasSelfTest
}
