package org.odllm.recommender

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Test

/** The library answers what the Python runtime does. */
class PythonListsTest {
    @Test
    fun aLoopBundle() = assertSameLists("loop")

    @Test
    fun anUnrolledBundle() = assertSameLists("unrolled")

    @Test
    fun aBundleOfTwoGraphs() = assertSameLists("steps")

    @Test
    fun scoresOverTheVocabulary() = assertSameLists("vocab")

    @Test
    fun aCatalogueOfOneItem() = assertSameLists("one-item")

    @Test
    fun aCatalogueThatGrew() = assertSameLists("grown")

    @Test
    fun aCatalogueThatShrank() = assertSameLists("shrunk")

    @Test
    fun aCatalogueOfWhichMostIsBlocked() = assertSameLists("blocked")

    @Test
    fun withXnnpack() {
        assumeTrue("no XNNPACK in this build", Provider.XNNPACK in RecommenderRuntime.availableProviders)
        val options = RecommenderOptions.builder().provider(Provider.XNNPACK).requireProvider(true).build()
        assertSameLists("loop", options)
        assertSameLists("unrolled", options)
    }

    @Test
    fun withTwoThreadsNoArenaAndWeightsThatStayMapped() =
        assertSameLists("loop", RecommenderOptions.builder().threads(2).useArena(false).prepackWeights(false).build())

    /** Another build of the runtime rounds otherwise. */
    @Test
    fun aRoundedBundleUpToItsRounding() {
        val lists = TestBundles.lists("int8")
        TestBundles.open("int8").use { recommender ->
            val overlap = lists.map { list ->
                val found = recommender.recommend(list.history, TestBundles.BEAMS, list.blocked).ids
                found.intersect(list.items.toSet()).size / list.items.size.toDouble()
            }
            assertTrue("${overlap.average()}", overlap.average() >= 0.9)
        }
    }

    private fun assertSameLists(name: String, options: RecommenderOptions = RecommenderOptions.DEFAULT) {
        val lists = TestBundles.lists(name)
        assertEquals(200, lists.size)
        TestBundles.open(name, options).use { recommender ->
            for (list in lists) assertNull(TestBundles.difference(recommender, list))
        }
    }
}
