package org.odllm.demo.recommend

import java.io.Closeable
import java.io.File
import org.odllm.recommender.Cancellation
import org.odllm.recommender.Provider

/**
 * How to run which bundle.
 *
 * @property bundle its key in the store, or null for the first there is.
 * @property threads of the calculation, at least 1.
 */
data class RunChoice(val bundle: String? = null, val provider: Provider = Provider.CPU, val threads: Int = 1)

/** An item of the catalogue. */
data class Item(val id: String, val title: String)

/** An item that comes next, with the sum of the log-probabilities of its codes. */
data class Ranked(val item: Item, val score: Float)

/**
 * What comes next after a history.
 *
 * @property items best first.
 * @property timeMillis from the question to the list.
 * @property memoryBytes that the app's process held then, or null where the system does not say.
 */
data class Answer(val items: List<Ranked>, val timeMillis: Double, val memoryBytes: Long?)

/**
 * What is open.
 *
 * @property window items at the end of a history that are read.
 * @property expectedMemoryBytes at the peak, as the bundle says.
 * @property hasSelfTest whether it has golden histories.
 * @property used what it runs on; where that is not what was asked for, `fallback` says why.
 */
data class BundleFacts(
    val name: String,
    val precision: String,
    val items: Int,
    val window: Int,
    val bytes: Long,
    val expectedMemoryBytes: Long,
    val hasSelfTest: Boolean,
    val used: Provider,
    val fallback: String? = null,
)

/**
 * What a self-test found.
 *
 * @property overlap share of the golden items that came back, 0 to 1.
 * @property difference the first list that differs, in words, or null.
 */
data class TestOutcome(
    val cases: Int,
    val equal: Int,
    val overlap: Double,
    val isPassed: Boolean,
    val difference: String? = null,
)

/** The titles of an open bundle; may be read from any thread, also after the bundle was closed. */
interface TitleList {
    /** Return the item with an id, or null. */
    fun find(id: String): Item?

    /** Return at most `limit` items whose titles have every word; all items for no words. */
    fun search(words: String, limit: Int): List<Item>
}

/** An open bundle, for one thread at a time. Every function throws a `RecommenderException` that says what to do. */
interface OpenBundle : Closeable {
    val facts: BundleFacts
    val titles: TitleList

    /** Return what comes next; what is in the history does not come back. */
    fun ask(history: List<String>, cancellation: Cancellation): Answer

    /** Ask the golden histories, telling after each how many of how many are done. */
    fun selfTest(cancellation: Cancellation, progress: (done: Int, total: Int) -> Unit): TestOutcome

    /** Return a short history to begin with; only where the bundle has golden histories. */
    fun example(): List<Item>

    /** Let go of what is kept for the next call. */
    fun releaseCache()
}

/** Opens bundles. */
interface BundleOpener {
    /** What this device offers to run on; loads the runtime, so not for the main thread. */
    val providers: List<Provider>

    /** Open a bundle: everything is checked before anything large is allocated. */
    fun open(folder: File, choice: RunChoice): OpenBundle
}

/** Tells the memory that the app's process holds. */
fun interface MemoryMeter {
    /** Return the resident bytes, or null where the system does not say. */
    fun residentBytes(): Long?
}
