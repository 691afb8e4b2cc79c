package org.odllm.recommender

import ai.onnxruntime.OrtException
import java.util.Collections
import java.util.concurrent.Callable
import java.util.concurrent.CountDownLatch
import java.util.concurrent.ExecutionException
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import org.junit.After
import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** Several threads ask, update, cancel and close at once. */
class ConcurrencyTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private val threads = Executors.newCachedThreadPool()

    @After
    fun endThreads() {
        threads.shutdownNow()
        assertTrue(threads.awaitTermination(20, TimeUnit.SECONDS))
    }

    @Test
    fun everyThreadGetsItsOwnAnswers() = TestBundles.open("loop").use { recommender ->
        val lists = TestBundles.lists("loop")
        val asking = (0 until 4).map { thread ->
            submit {
                recommender.startSession().use { session ->
                    for (list in lists.filterIndexed { at, _ -> at % 4 == thread }) {
                        val found = session.recommend(list.history, 12, list.blocked)
                        assertNull(TestBundles.difference(recommender.catalog, found, list))
                        assertNull(TestBundles.difference(recommender, list))
                    }
                }
            }
        }
        asking.forEach { it.get() }
    }

    @Test
    fun callsRunInTheOrderInWhichTheyCame() {
        val turns = Turns()
        val order = Collections.synchronizedList(ArrayList<Int>())
        val (held, release) = holdTurn(turns)
        val waiting = (0 until 5).map { number ->
            submit { turns.take(Cancellation.NEVER) { order += number } }.also { awaitWaiting(turns, number + 2) }
        }
        release.countDown()
        (waiting + held).forEach { it.get() }
        assertEquals(listOf(0, 1, 2, 3, 4), order)
        turns.close()
    }

    @Test
    fun cancelledBeforeItBegins() = TestBundles.open("loop").use { recommender ->
        val before = Cancellation().apply { cancel() }
        assertThrows(RequestCancelledException::class.java) {
            recommender.recommend(listOf("i1"), 5, emptySet(), before)
        }
        assertEquals(5, recommender.recommend(listOf("i1")).items.size)
    }

    @Test
    fun cancelledWhileItWaits() {
        val turns = Turns()
        val (held, release) = holdTurn(turns)
        val whileWaiting = Cancellation()
        val waiting = submit { turns.take(whileWaiting) { error("it ran") } }
        awaitWaiting(turns, 2)
        whileWaiting.cancel()
        assertTrue(failure(waiting) is RequestCancelledException)
        release.countDown()
        held.get()
        assertEquals(1, turns.take(Cancellation.NEVER) { 1 })
        turns.close()
    }

    /** The runtime itself stops: what it throws shows that it did not run to its end. */
    @Test
    fun aRunningCallIsEndedByTheRuntime() {
        val manifest = ManifestReader.read(TestBundles.folder("loop"))
        val catalog = BundleContent.read(manifest).catalog
        val turns = Turns()
        Engines(manifest, catalog.arrays, RecommenderOptions.DEFAULT).open().engine.use { engine ->
            val cancellation = Cancellation()
            var stopped = ""
            assertThrows(RequestCancelledException::class.java) {
                turns.take(cancellation) { run ->
                    cancellation.cancel()
                    try {
                        engine.run(longArrayOf(1, 2), LongArray(0), null, run)
                    } catch (error: OrtException) {
                        stopped = error.message!!
                        throw error
                    }
                }
            }
            assertTrue(stopped, "terminate" in stopped)
            val found = turns.take(Cancellation.NEVER) { engine.run(longArrayOf(1, 2), LongArray(0), null, it) }
            assertEquals(12, found.items.size)
            turns.close()
        }
    }

    @Test
    fun anInterruptedThreadStopsWaitingAndStaysInterrupted() {
        val turns = Turns()
        val (held, release) = holdTurn(turns)
        val isInterrupted = submit {
            Thread.currentThread().interrupt()
            assertThrows(RequestCancelledException::class.java) { turns.take(Cancellation.NEVER) {} }
            assertTrue(Thread.currentThread().isInterrupted)
        }
        isInterrupted.get()
        release.countDown()
        held.get()
        turns.close()
    }

    /** Java closes the file that an interrupted thread maps, which is no damage. */
    @Test
    fun anInterruptedThreadOpensAndUpdates() {
        val bundle = TestBundles.copy("loop", temporary.root)
        submit {
            Thread.currentThread().interrupt()
            Recommender.open(bundle).use { recommender ->
                assertEquals(62, recommender.updateCatalog(TestBundles.folder("grown")).size)
                assertTrue(recommender.selfTest().passed)
            }
            assertTrue(Thread.currentThread().isInterrupted)
        }.get()
    }

    @Test
    fun cancellingAtAnyMomentEndsThatCallAndNoOther() = TestBundles.open("loop").use { recommender ->
        val list = TestBundles.lists("loop").first { it.history.size > 5 }
        val cancelled = AtomicInteger()
        val asking = (0 until 3).map { thread ->
            submit {
                repeat(100) { number ->
                    val cancellation = Cancellation()
                    val canceller = if ((number + thread) % 2 == 0) submit { cancellation.cancel() } else null
                    try {
                        val found = recommender.recommend(list.history, 12, list.blocked, cancellation)
                        assertNull(TestBundles.difference(recommender.catalog, found, list))
                    } catch (error: RequestCancelledException) {
                        assertTrue(cancellation.isCancelled)
                        cancelled.incrementAndGet()
                    }
                    canceller?.get()
                }
            }
        }
        asking.forEach { it.get() }
        assertTrue("$cancelled", cancelled.get() in 1..150)
    }

    @Test
    fun closingUnderLoadEndsEveryCallInWords() = repeat(10) { round ->
        val recommender = TestBundles.open("loop")
        val begun = CountDownLatch(3)
        val asking = (0 until 3).map { thread ->
            submit {
                try {
                    val session = if (thread == 0) recommender.startSession() else null
                    while (true) {
                        session?.recommend(listOf("i1", "i2")) ?: recommender.recommend(listOf("i1", "i2"))
                        begun.countDown()
                    }
                } catch (_: RecommenderClosedException) {
                    // what must end it
                }
            }
        }
        begun.await()
        val closing = (0..round % 2).map { submit { recommender.close() } }
        (asking + closing).forEach { it.get() }
    }

    @Test
    fun cataloguesAreSwappedBetweenCalls() {
        val bundle = TestBundles.copy("loop", temporary.root)
        Recommender.open(bundle).use { recommender ->
            val lists = TestBundles.lists("grown").take(20)
            val shrunk = TestBundles.lists("shrunk").take(20)
            val asking = submit {
                repeat(200) {
                    val list = shrunk[it % shrunk.size]
                    assertEquals(12, recommender.recommend(list.history, 12).items.size)
                }
            }
            repeat(5) {
                recommender.updateCatalog(TestBundles.folder("shrunk"))
                recommender.updateCatalog(TestBundles.folder("grown"))
            }
            asking.get()
            for (list in lists) assertNull(TestBundles.difference(recommender, list))
        }
    }

    /** Questions and catalogue are replaced together: whoever reads one between the two finds no damage. */
    @Test
    fun aSelfTestDuringUpdatesFindsNoDamage() {
        val bundle = TestBundles.copy("loop", temporary.root)
        Recommender.open(bundle).use { recommender ->
            val updating = submit {
                repeat(40) {
                    recommender.updateCatalog(TestBundles.folder(if (it % 2 == 0) "grown" else "shrunk"))
                }
            }
            val cancelled = Cancellation().apply { cancel() }
            while (!updating.isDone) {
                assertThrows(RequestCancelledException::class.java) { recommender.selfTest(cancelled) }
            }
            updating.get()
            assertTrue(recommender.selfTest().passed)
        }
    }

    private fun submit(work: () -> Unit): Future<*> = threads.submit(Callable { work() })

    private fun holdTurn(turns: Turns): Pair<Future<*>, CountDownLatch> {
        val (taken, release) = CountDownLatch(1) to CountDownLatch(1)
        val held = submit {
            turns.take(Cancellation.NEVER) {
                taken.countDown()
                release.await()
            }
        }
        taken.await()
        return held to release
    }

    private fun awaitWaiting(turns: Turns, count: Int) {
        while (turns.length < count) Thread.yield()
    }

    private fun failure(future: Future<*>): Throwable? = try {
        future.get()
        null
    } catch (error: ExecutionException) {
        error.cause
    }
}
