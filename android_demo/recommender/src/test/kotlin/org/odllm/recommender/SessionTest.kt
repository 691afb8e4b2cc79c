package org.odllm.recommender

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** Incremental calls return what a call without a session does. */
class SessionTest {
    @Test
    fun aHistoryThatGrowsBeyondTheWindow() {
        for (name in listOf("loop", "unrolled", "vocab", "steps")) {
            assertIncrementalIsFull(name, RecommenderOptions.DEFAULT)
        }
    }

    @Test
    fun withXnnpack() = assertIncrementalIsFull("loop", RecommenderOptions.builder().provider(Provider.XNNPACK).build())

    @Test
    fun theSameAgainAShorterOneAndAnotherOne() = TestBundles.open("loop").use { recommender ->
        val session = recommender.startSession()
        val histories = listOf("1 2 3", "1 2 3", "1 2", "1 2 9 4", "7", "1 2 9 4", "1 2 3 4 5 6", "1 2 3 4 5 6 7", "9")
        for (rows in histories) {
            val history = rows.split(' ').map { "i$it" }
            assertSame(recommender, session, history)
        }
    }

    @Test
    fun onlyWhatIsNewIsRun() = TestBundles.open("loop").use { recommender ->
        val session = recommender.startSession()
        val history = List(5) { "i$it" }
        val prompt = recommender.recommend(history).tokensRun
        val run = (1..5).map { session.recommend(history.take(it)).tokensRun }
        assertTrue("$run of $prompt", run[4] <= prompt - 3 * 4)
        assertEquals(run[2], run[3])
    }

    @Test
    fun blockedItemsDoNotStickToIt() = TestBundles.open("loop").use { recommender ->
        val session = recommender.startSession()
        val free = session.recommend(listOf("i1", "i2"))
        val others = session.recommend(listOf("i1", "i2"), 5, free.ids)
        assertEquals(emptySet<String>(), others.ids.intersect(free.ids.toSet()))
        assertNull(TestBundles.difference(session.recommend(listOf("i1", "i2")), free))
    }

    @Test
    fun copiesGoOnByThemselves() = TestBundles.open("loop").use { recommender ->
        val session = recommender.startSession()
        session.recommend(listOf("i1", "i2"))
        val copy = session.copy()
        assertSame(recommender, copy, listOf("i1", "i2", "i3"))
        session.close()
        assertSame(recommender, copy, listOf("i1", "i2", "i3", "i4"))
        assertSame(recommender, copy.copy().also { copy.close() }, listOf("i1", "i2", "i9"))
        assertThrows(RecommenderClosedException::class.java) { session.recommend(listOf("i1")) }
        assertThrows(RecommenderClosedException::class.java) { session.copy() }
        Unit
    }

    @Test
    fun aRefusedCallLeavesItAsItWas() = TestBundles.open("loop").use { recommender ->
        val session = recommender.startSession()
        session.recommend(listOf("i1", "i2"))
        assertThrows(UnknownItemsException::class.java) { session.recommend(listOf("i1", "?")) }
        assertSame(recommender, session, listOf("i1", "i2", "i3"))
    }

    /** A call may fail behind the graph, which has returned keys and values then. */
    @Test
    fun aFailedCallLeavesNothingBehind() {
        val prompt = PromptFacts(intArrayOf(1), intArrayOf(2), intArrayOf(3), 5, intArrayOf(4, 4), 10)
        val memory = SessionMemory()
        val (first, second) = listOf(Content(), Content())
        memory.ask(intArrayOf(0, 4), prompt) { it.content = first; NOTHING }
        assertThrows(InferenceException::class.java) {
            memory.ask(intArrayOf(0, 4, 1, 5), prompt) {
                it.content = second
                throw InferenceException("no numbers")
            }
        }
        assertEquals(0 to 1, first.timesFreed to second.timesFreed)
        memory.ask(intArrayOf(0, 4, 1, 5), prompt) {
            assertEquals(first to 3, it.content to it.tokens)
            NOTHING
        }
        memory.close()
        assertEquals(1 to 1, first.timesFreed to second.timesFreed)
    }

    private class Content : CacheContent() {
        var timesFreed = 0

        override fun free() {
            timesFreed++
        }
    }

    private fun assertIncrementalIsFull(name: String, options: RecommenderOptions) {
        TestBundles.open(name, options).use { recommender ->
            for (list in TestBundles.lists(name).take(40)) {
                recommender.startSession().use { session ->
                    for (length in 1..list.history.size) assertSame(recommender, session, list.history.take(length))
                }
            }
        }
    }

    private fun assertSame(recommender: Recommender, session: RecommenderSession, history: List<String>) {
        assertNull(TestBundles.difference(session.recommend(history, 12), recommender.recommend(history, 12)))
    }

    private companion object {
        val NOTHING = Ranked(LongArray(0), FloatArray(0), 0)
    }
}
