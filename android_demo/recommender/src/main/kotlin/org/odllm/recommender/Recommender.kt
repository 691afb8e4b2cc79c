package org.odllm.recommender

import java.io.Closeable
import java.io.File
import java.util.Collections
import java.util.concurrent.ConcurrentHashMap

/**
 * An opened bundle: a history of items in, the best next items out.
 *
 * ```
 * Recommender.open(File(context.filesDir, "bundle")).use { recommender ->
 *     for (item in recommender.recommend(listOf("1", "260")).items) println("${item.title} ${item.score}")
 * }
 * ```
 *
 * For several threads at once: one call runs at a time, further ones wait and run in the order in which they came. All
 * calls block; keep them off the main thread. Everything that is thrown by intent is a [RecommenderException].
 */
public class Recommender private constructor(
    opened: OpenedBundle,
    private val options: RecommenderOptions,
) : Closeable {
    private val engine = opened.engine
    private val turns = Turns()
    private val memories: MutableSet<SessionMemory> = Collections.newSetFromMap(ConcurrentHashMap())

    @Volatile
    private var content = opened.content

    /** What the bundle says of itself. */
    public val info: BundleInfo = BundleInfo(content.manifest)

    /** Which provider was asked for, and which one computes. */
    public val provider: ProviderReport = opened.provider

    /** The items, as of now: [updateCatalog] puts another object here. */
    public val catalog: Catalog get() = content.catalog

    /**
     * Returns the best next items for a history, computed from nothing. [startSession] is for a history that grows.
     *
     * @param history item ids, oldest first; the last [BundleInfo.maxItems] are read.
     * @param topK how many, at most [BundleInfo.numBeams].
     * @param blocked item ids that must not come back, such as what was bought.
     * @param cancellation ends the call early.
     * @throws InvalidRequestException an empty history, unknown items, or a [topK] beyond the search's beams.
     * @throws RequestCancelledException it was cancelled.
     * @throws RecommenderClosedException the recommender is closed, or was closed meanwhile.
     * @throws InferenceException the runtime failed, or the bundle's weights compute no numbers.
     */
    @JvmOverloads
    public fun recommend(
        history: List<String>,
        topK: Int = info.topK,
        blocked: Collection<String> = emptySet(),
        cancellation: Cancellation = Cancellation.NEVER,
    ): Recommendations = turns.take(cancellation) { run ->
        Question(content, history, topK, blocked).ask { rows, hidden -> engine.run(rows, hidden, null, run) }
    }

    /**
     * Starts a session for a history that grows; close it when it is no longer asked.
     *
     * @throws RecommenderClosedException the recommender is closed.
     */
    public fun startSession(): RecommenderSession = session(SessionMemory())

    /**
     * Asks the bundle's own questions, `golden.json`, and compares the lists. Other calls get their turns in between.
     *
     * @param cancellation ends it early.
     * @param progress told after every question, on this thread.
     * @throws InvalidRequestException the bundle has no questions, or its catalogue was updated meanwhile.
     * @throws BundleDamagedException the questions are damaged, or do not fit the catalogue.
     * @throws RequestCancelledException it was cancelled.
     * @throws RecommenderClosedException the recommender is closed, or was closed meanwhile.
     * @throws InferenceException as of [recommend].
     */
    @JvmOverloads
    public fun selfTest(
        cancellation: Cancellation = Cancellation.NEVER,
        progress: SelfTestProgress = SelfTestProgress { _, _ -> },
    ): SelfTestReport {
        turns.checkOpen()
        // An update replaces questions and catalogue under this lock: these are of one bundle.
        val (begun, test) = BundleLock.of(info.folder) { content.let { it to SelfTest(it) } }
        return test.run(progress) { question ->
            turns.take(cancellation) { run ->
                if (content !== begun) {
                    throw InvalidRequestException("the catalogue was updated during the self-test; test again")
                }
                question.ranked { rows, hidden -> engine.run(rows, hidden, null, run) }
            }
        }
    }

    /**
     * Returns a history to begin with, oldest item first: the first of the bundle's own questions, `golden.json`.
     *
     * @throws InvalidRequestException the bundle has no questions.
     * @throws BundleDamagedException the questions are damaged, or do not fit the catalogue.
     * @throws RecommenderClosedException the recommender is closed.
     */
    public fun exampleHistory(): List<String> {
        turns.checkOpen()
        return Golden.read(content).cases.first().history.toList()
    }

    /**
     * Installs a new catalogue for the same model, on disk and here, between two calls; sessions go on. It is checked
     * while other calls run. If the process dies at any moment, the next opening finds the old bundle or the new one.
     *
     * @param update a folder with the `manifest.json` of a bundle that `odllm catalog` changed, and the files that
     *   differ.
     * @return the catalogue that is now in use.
     * @throws CatalogMismatchException it was made for another model.
     * @throws BundleException a file of the update is missing or damaged, or it is too new; nothing has changed.
     * @throws NotEnoughMemoryException both catalogues do not fit the memory that is free.
     * @throws RequestCancelledException the thread was interrupted while it waited for a call to end; nothing has
     *   changed.
     * @throws RecommenderClosedException the recommender is closed, or was closed meanwhile; nothing has changed.
     * @throws RecommenderException the storage cannot be written; nothing has changed.
     */
    public fun updateCatalog(update: File): Catalog {
        turns.checkOpen()
        return CatalogUpdate.prepared(info.folder, update, options.availableMemory) { prepared ->
            turns.take(Cancellation.NEVER) {
                val before = content
                engine.replaceCatalog(prepared.content.catalog.arrays)
                try {
                    prepared.commit()
                } catch (error: Throwable) {
                    engine.replaceCatalog(before.catalog.arrays)
                    throw error
                }
                content = prepared.content
                prepared.content.catalog
            }
        }
    }

    /** Ends the running call, waits for it, and frees the model. Later calls throw [RecommenderClosedException]. */
    override fun close() {
        if (!turns.close()) return
        memories.forEach { it.close() }
        engine.close()
    }

    internal fun recommend(
        memory: SessionMemory,
        history: List<String>,
        topK: Int,
        blocked: Collection<String>,
        cancellation: Cancellation,
    ): Recommendations = turns.take(cancellation) { run ->
        val question = Question(content, history, topK, blocked)
        question.ask { rows, hidden ->
            memory.ask(question.window(), content.manifest.prompt) { cache ->
                content.checked(engine.run(rows, hidden, cache, run), hidden) // no session keeps what are no numbers
            }
        }
    }

    internal fun session(memory: SessionMemory): RecommenderSession {
        memories.add(memory)
        try {
            turns.checkOpen()
        } catch (error: RecommenderClosedException) {
            end(memory)
            throw error
        }
        return RecommenderSession(this, memory)
    }

    internal fun end(memory: SessionMemory) {
        memories.remove(memory)
        memory.close()
    }

    /** Ends the profiles that the graphs were opened with; the files, one a graph. */
    internal fun endProfiling(): List<File> = turns.take(Cancellation.NEVER) { engine.endProfiling() }

    public companion object {
        /**
         * Opens a bundle; everything is checked before anything large is loaded. Takes from a tenth of a second to some
         * seconds, most of it to read every file once.
         *
         * @param bundle its folder. The weights stay mapped from it: change its files only through [updateCatalog] and
         *   [CatalogUpdate].
         * @param options how.
         * @throws BundleException it is missing, damaged, or too new.
         * @throws NotEnoughMemoryException it needs more memory than is free.
         * @throws ProviderUnavailableException the options require a provider that cannot be used.
         * @throws InferenceException the runtime cannot be loaded, or fails.
         * @throws RecommenderException an update that the process died in cannot be finished: the storage fails.
         */
        @JvmStatic
        @JvmOverloads
        public fun open(bundle: File, options: RecommenderOptions = RecommenderOptions.DEFAULT): Recommender =
            Recommender(OpenedBundle.open(bundle, options), options)
    }
}
