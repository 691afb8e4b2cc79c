package org.odllm.demo.recommend

import java.io.File
import org.odllm.demo.work.Outcome
import org.odllm.demo.work.attempt
import org.odllm.recommender.BundleInfo
import org.odllm.recommender.Cancellation
import org.odllm.recommender.Catalog
import org.odllm.recommender.CatalogItem
import org.odllm.recommender.MemorySource
import org.odllm.recommender.Provider
import org.odllm.recommender.Recommender
import org.odllm.recommender.RecommenderOptions
import org.odllm.recommender.RecommenderRuntime

/** Of a golden history, which may be long: enough to see what the list depends on. */
private const val EXAMPLE_ITEMS = 5

/**
 * Opens bundles with the recommender's library.
 *
 * @param free tells the memory that this device has free.
 * @param meter tells the memory that the app holds.
 * @param missing providers that this device lacks, whatever the runtime says.
 */
class LibraryOpener(
    private val free: MemorySource,
    private val meter: MemoryMeter,
    private val missing: Set<Provider> = emptySet(),
) : BundleOpener {
    override val providers: List<Provider> get() = RecommenderRuntime.availableProviders.filter { it !in missing }

    override fun open(folder: File, choice: RunChoice): OpenBundle {
        val options = RecommenderOptions.builder()
            .availableMemory(free)
            .provider(choice.provider)
            .threads(choice.threads)
            .build()
        return LibraryBundle(Recommender.open(folder, options), meter)
    }
}

/** An open bundle of the library, asked through one session. */
private class LibraryBundle(private val recommender: Recommender, private val meter: MemoryMeter) : OpenBundle {
    private var session = recommender.startSession()

    override val facts: BundleFacts = with(recommender.info) {
        BundleFacts(
            name = name,
            precision = precision,
            items = items,
            window = maxItems,
            bytes = bytesOnDisk,
            expectedMemoryBytes = expectedPeakMemoryBytes,
            hasSelfTest = hasSelfTest,
            used = recommender.provider.used,
            fallback = recommender.provider.fallbackReason,
        )
    }

    override val titles: TitleList = CatalogTitles(recommender.catalog)

    override fun ask(history: List<String>, cancellation: Cancellation): Answer {
        val found = session.recommend(history, recommender.info.topK, history, cancellation)
        val ranked = found.items.map { Ranked(Item(it.id, it.title), it.score) }
        return Answer(ranked, found.timeMillis, meter.residentBytes())
    }

    override fun selfTest(cancellation: Cancellation, progress: (done: Int, total: Int) -> Unit): TestOutcome {
        val report = recommender.selfTest(cancellation) { done, total -> progress(done, total) }
        return TestOutcome(report.cases, report.equalLists, report.meanOverlap, report.passed, report.firstDifference)
    }

    override fun example(): List<Item> = recommender.exampleHistory().takeLast(EXAMPLE_ITEMS).mapNotNull(titles::find)

    override fun releaseCache() {
        session.close()
        session = recommender.startSession()
    }

    override fun close() {
        session.close()
        recommender.close()
    }
}

/** Return the precision in the manifest of a folder, or null where it says none that this app understands. */
fun precisionOf(folder: File): String? =
    when (val read = attempt { BundleInfo.read(folder).precision }) {
        is Outcome.Done -> read.value
        is Outcome.Failed -> null // opening it says what is wrong
    }

private class CatalogTitles(private val catalog: Catalog) : TitleList {
    override fun find(id: String): Item? = catalog.find(id)?.let(::itemOf)

    override fun search(words: String, limit: Int): List<Item> = catalog.search(words, limit).map(::itemOf)
}

private fun itemOf(found: CatalogItem) = Item(found.id, found.title)
