package org.odllm.recommender

import java.nio.FloatBuffer
import java.util.Random
import kotlin.math.exp
import kotlin.math.ln
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test

/** The search against brute force over every item, and against the plainest beam search. */
class TrieSearchTest {
    private val sizes = listOf(4, 3, 5)
    private val headRows = sizes.sum() + 2 * CODE_ROW

    @Test
    fun wideSearchRanksAllItemsAsBruteForceDoes() {
        for (seed in 0L until 30) for (scoresCodes in listOf(true, false)) {
            val case = Case(seed, numBeams = 64, scoresCodes)
            val found = case.search(longArrayOf())
            val expected = case.everyItem(setOf()).take(64)
            assertEquals(expected.map { it.first }, found.items.toList())
            assertArrayEquals(expected.map { it.second }.toFloatArray(), found.scores, 1e-5f)
        }
    }

    @Test
    fun narrowSearchKeepsWhatThePlainestOneKeeps() {
        for (seed in 0L until 60) {
            val case = Case(seed, numBeams = 1 + (seed % 6).toInt(), seed % 2 == 0L)
            val found = case.search(longArrayOf())
            val expected = case.plainSearch(setOf())
            assertEquals(expected.map { it.first }, found.items.toList())
            assertArrayEquals(expected.map { it.second }.toFloatArray(), found.scores, 1e-5f)
        }
    }

    @Test
    fun blockedItemsNeverComeBackAndTheProbabilitiesAreOverTheOthers() {
        for (seed in 0L until 60) {
            val case = Case(seed, numBeams = 5, scoresCodes = true)
            val random = Random(seed)
            val blocked = LongArray(8) { random.nextInt(case.codes.size).toLong() } // some of them twice
            val found = case.search(blocked)
            val expected = case.plainSearch(blocked.map { it.toInt() }.toSet())
            assertEquals(expected.map { it.first }, found.items.toList())
            assertTrue(found.items.none { it in blocked })
        }
    }

    @Test
    fun nothingIsFoundWhereEverythingIsBlocked() {
        val case = Case(1, numBeams = 5, scoresCodes = true)
        assertEquals(0, case.search(LongArray(case.codes.size) { it.toLong() }).items.size)
    }

    @Test
    fun aSearchKeepsNothingOfTheOneBefore() {
        val case = Case(2, numBeams = 3, scoresCodes = true)
        val first = case.search(longArrayOf())
        case.search(longArrayOf(0, 1, 2, 3))
        assertArrayEquals(first.items, case.search(longArrayOf()).items)
    }

    @Test
    fun itemsOfOneCodeComeTogetherInRowOrder() {
        val catalog = SmallTrie.of(listOf(listOf(1), listOf(0), listOf(1), listOf(1)), listOf(2))
        val search = TrieSearch(catalog, numBeams = 4, scoresCodes = true, codeRow = 0)
        search.begin(longArrayOf())
        search.grow(FloatBuffer.wrap(floatArrayOf(0f, 2f)), 2)
        assertEquals(listOf(0L, 2L, 3L, 1L), search.items(0).items.toList())
    }

    @Test
    fun whatIsNoNumberDoesNotRankAndIsTold() {
        val catalog = SmallTrie.of(listOf(listOf(0), listOf(1), listOf(2)), listOf(3))
        val search = TrieSearch(catalog, numBeams = 3, scoresCodes = true, codeRow = 0)
        search.begin(longArrayOf())
        search.grow(FloatBuffer.wrap(floatArrayOf(Float.NaN, 1f, 2f)), 3)
        assertFalse(search.isSound)
        assertEquals(0, search.items(0).items.count { it == 0L })
        search.begin(longArrayOf())
        assertTrue(search.isSound)
    }

    @Test
    fun pathLeadsFromTheRootToTheNode() {
        val catalog = SmallTrie.of(listOf(listOf(0, 1), listOf(1, 0)), listOf(2, 2))
        val search = TrieSearch(catalog, numBeams = 1, scoresCodes = true, codeRow = 0)
        search.begin(longArrayOf())
        search.grow(FloatBuffer.wrap(floatArrayOf(0f, 1f, 0f, 0f)), 4)
        assertEquals(catalog.itemPath[3], search.node(0))
        assertTrue(search.isOnPath(0, 0))
        assertTrue(search.isOnPath(0, search.node(0)))
        assertFalse(search.isOnPath(0, catalog.itemPath[0]))
    }

    /** A random catalogue and random logits behind every node. */
    private inner class Case(seed: Long, val numBeams: Int, val scoresCodes: Boolean) {
        private val random = Random(seed)
        val codes = List(3 + random.nextInt(40)) { sizes.map { random.nextInt(it) } }
        val catalog = SmallTrie.of(codes, sizes)
        private val logits = HashMap<List<Int>, FloatArray>()
        private val tested = TrieSearch(catalog, numBeams, scoresCodes, CODE_ROW)

        fun search(blocked: LongArray): Ranked {
            tested.begin(blocked)
            for (level in sizes.indices) {
                val rows = FloatArray(numBeams * headRows)
                for (beam in 0 until tested.count) {
                    after(codesOf(tested.node(beam), level)).copyInto(rows, beam * headRows)
                }
                tested.grow(FloatBuffer.wrap(rows), headRows)
            }
            return tested.items(0)
        }

        fun everyItem(blocked: Set<Int>): List<Pair<Long, Float>> = codes.indices.filter { it !in blocked }
            .map { row -> row to sizes.indices.sumOf { logProbability(codes[row].take(it), codes[row][it], blocked) } }
            .map { (row, score) -> row to score.toFloat() }
            .sortedWith(compareByDescending<Pair<Int, Float>> { it.second }.thenBy { row -> inOrder(row.first) })
            .map { (row, score) -> row.toLong() to score }

        fun plainSearch(blocked: Set<Int>): List<Pair<Long, Float>> {
            var beams = listOf(listOf<Int>() to 0.0)
            for (level in sizes.indices) {
                beams = beams.flatMap { (path, score) ->
                    children(path, blocked).map { path + it to score + logProbability(path, it, blocked) }
                }.sortedByDescending { it.second }.take(numBeams)
            }
            return beams.flatMap { (path, score) ->
                codes.indices.filter { codes[it] == path && it !in blocked }.map { it.toLong() to score.toFloat() }
            }.take(numBeams)
        }

        private fun logProbability(path: List<Int>, code: Int, blocked: Set<Int>): Double {
            val row = after(path)
            val at = { one: Int -> row[CODE_ROW + sizes.take(path.size).sum() + one].toDouble() }
            val among = if (scoresCodes) children(path, blocked).map(at) else row.map { it.toDouble() }
            return at(code) - ln(among.sumOf { exp(it) })
        }

        private fun children(path: List<Int>, blocked: Set<Int>) = codes.indices
            .filter { it !in blocked && codes[it].take(path.size) == path }
            .map { codes[it][path.size] }.distinct().sorted()

        private fun inOrder(row: Int) = (0 until catalog.items).first { catalog.itemOrder[it] == row }

        private fun codesOf(node: Int, depth: Int): List<Int> = if (depth == 0) listOf() else
            codes[codes.indices.first { catalog.itemPath[it * (sizes.size + 1) + depth - 1] == node }].take(depth)

        private fun after(path: List<Int>) =
            logits.getOrPut(path) { FloatArray(headRows) { random.nextGaussian().toFloat() } }
    }

    private companion object {
        const val CODE_ROW = 3
    }
}
