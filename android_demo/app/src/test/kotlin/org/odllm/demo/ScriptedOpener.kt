package org.odllm.demo

import java.io.File
import org.odllm.demo.bundles.MANIFEST
import org.odllm.demo.recommend.Answer
import org.odllm.demo.recommend.BundleFacts
import org.odllm.demo.recommend.BundleOpener
import org.odllm.demo.recommend.Item
import org.odllm.demo.recommend.OpenBundle
import org.odllm.demo.recommend.Ranked
import org.odllm.demo.recommend.RunChoice
import org.odllm.demo.recommend.TestOutcome
import org.odllm.demo.recommend.TitleList
import org.odllm.recommender.Cancellation
import org.odllm.recommender.Provider
import org.odllm.recommender.RecommenderException

/**
 * Opens folders whose manifest lists item titles, comma by comma; an item's id is its title. The answer to a history is
 * the rest of the catalogue.
 */
class ScriptedOpener : BundleOpener {
    override val providers: List<Provider> = listOf(Provider.CPU, Provider.XNNPACK, Provider.NNAPI)

    /** Bundles that were opened and not closed. */
    val open = ArrayList<ScriptedBundle>()

    /** Thrown by the next openings, where it is not null. */
    var failure: RecommenderException? = null

    /** Runs in every opening. */
    var whileOpening: (RunChoice) -> Unit = {}

    override fun open(folder: File, choice: RunChoice): OpenBundle {
        whileOpening(choice)
        failure?.let { throw it }
        val items = File(folder, MANIFEST).readText().split(",")
        val bundle = ScriptedBundle(folder.name, items, choice) { open.remove(it) }
        open.add(bundle)
        return bundle
    }
}

/** See [ScriptedOpener]. */
class ScriptedBundle(
    name: String,
    private val items: List<String>,
    choice: RunChoice,
    private val closed: (ScriptedBundle) -> Unit,
) : OpenBundle {
    /** Every history that was asked, to the end or not. */
    val asked = ArrayList<List<String>>()

    /** How often the cache was let go. */
    var releases = 0

    /** Thrown by the next questions, where it is not null. */
    var failure: RuntimeException? = null

    /** Runs in every question. */
    var whileAsking: () -> Unit = {}

    override val facts = BundleFacts(
        name = "films",
        precision = if (name == "films-int8") "int8" else "fp32",
        items = items.size,
        window = 3,
        bytes = 5,
        expectedMemoryBytes = 7,
        hasSelfTest = "untested" !in name,
        used = if (choice.provider == Provider.NNAPI) Provider.CPU else choice.provider,
        fallback = if (choice.provider == Provider.NNAPI) "no driver" else null,
    )

    override val titles = object : TitleList {
        override fun find(id: String): Item? = if (id in items) Item(id, id) else null

        override fun search(words: String, limit: Int): List<Item> =
            items.filter { words in it }.take(limit).map { Item(it, it) }
    }

    override fun ask(history: List<String>, cancellation: Cancellation): Answer {
        asked.add(history)
        whileAsking()
        failure?.let { throw it }
        val rest = items.filter { it !in history }
        return Answer(rest.mapIndexed { index, id -> Ranked(Item(id, id), -1f - index) }, 12.4, 1L shl 20)
    }

    override fun selfTest(cancellation: Cancellation, progress: (done: Int, total: Int) -> Unit): TestOutcome {
        for (done in 1..2) progress(done, 2)
        return TestOutcome(cases = 2, equal = 2, overlap = 1.0, isPassed = true)
    }

    override fun example(): List<Item> = items.take(2).map { Item(it, it) }

    override fun releaseCache() {
        releases++
    }

    override fun close() = closed(this)
}
