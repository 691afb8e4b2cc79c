package org.odllm.recommender

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class RequestTest {
    @Test
    fun aListIsRankedAndAsLongAsAsked() = TestBundles.open("loop").use { recommender ->
        val found = recommender.recommend(listOf("i1", "i2")).items
        assertEquals(recommender.info.topK, found.size)
        assertEquals(found.sortedByDescending { it.score }, found)
        assertEquals(found.map { recommender.catalog.find(it.id)?.title }, found.map { it.title })
        assertEquals(3, recommender.recommend(listOf("i1"), 3).items.size)
        assertEquals(12, recommender.recommend(listOf("i1"), 12).items.size)
    }

    @Test
    fun blockedItemsDoNotComeBackHoweverOftenTheyAreNamed() = TestBundles.open("loop").use { recommender ->
        val free = recommender.recommend(listOf("i1")).ids
        val rest = recommender.recommend(listOf("i1"), 12, free + free).ids
        assertEquals(emptySet<String>(), rest.intersect(free.toSet()))
        assertEquals(12, rest.size)
        assertEquals(free, recommender.recommend(listOf("i1")).ids)
    }

    @Test
    fun everyItemComesBackOnceUntilNoneIsLeft() = TestBundles.open("loop").use { recommender ->
        val found = ArrayList<String>()
        while (true) {
            val more = recommender.recommend(listOf("i5"), 12, found).ids
            if (more.isEmpty()) break
            found += more
        }
        assertEquals(60, found.size)
        assertEquals(60, found.toSet().size)
    }

    @Test
    fun onlyTheLastItemsOfAHistoryAreRead() = TestBundles.open("loop").use { recommender ->
        val last = List(recommender.info.maxItems) { "i$it" }
        assertEquals(recommender.recommend(last), recommender.recommend(List(500) { "i${it % 60}" } + last))
    }

    @Test
    fun anEmptyHistoryIsRefused() = TestBundles.open("loop").use { recommender ->
        assertThrows(EmptyHistoryException::class.java) { recommender.recommend(emptyList()) }
        assertThrows(EmptyHistoryException::class.java) { recommender.startSession().recommend(emptyList()) }
        Unit
    }

    @Test
    fun unknownItemsAreAllNamed() = TestBundles.open("loop").use { recommender ->
        val ids = listOf("x", "i1", "é\uD83D\uDE00", "x", "")
        val error = assertThrows(UnknownItemsException::class.java) { recommender.recommend(ids) }
        assertEquals(listOf("x", "é\uD83D\uDE00", ""), error.ids)
        assertTrue(error.message!!.startsWith("'x', 'é\uD83D\uDE00', '': not among this bundle's 60 items"))
        val blocked = assertThrows(UnknownItemsException::class.java) {
            recommender.recommend(listOf("i1"), 1, setOf("y"))
        }
        assertEquals(listOf("y"), blocked.ids)
    }

    @Test
    fun aListLongerThanTheSearchIsWideIsRefused() = TestBundles.open("loop").use { recommender ->
        for (topK in listOf(-1, 0, 13)) {
            assertThrows(InvalidRequestException::class.java) { recommender.recommend(listOf("i1"), topK) }
        }
        assertThrows(InvalidRequestException::class.java) { RecommenderOptions.builder().threads(0) }
        Unit
    }

    @Test
    fun aClosedRecommenderSaysSo() {
        val recommender = TestBundles.open("loop")
        val session = recommender.startSession()
        session.recommend(listOf("i1"))
        recommender.close()
        recommender.close()
        assertThrows(RecommenderClosedException::class.java) { recommender.recommend(listOf("i1")) }
        assertThrows(RecommenderClosedException::class.java) { recommender.startSession() }
        assertThrows(RecommenderClosedException::class.java) { recommender.selfTest() }
        assertThrows(RecommenderClosedException::class.java) { recommender.updateCatalog(TestBundles.folder("grown")) }
        assertThrows(RecommenderClosedException::class.java) { session.recommend(listOf("i1")) }
        assertThrows(RecommenderClosedException::class.java) { session.copy() }
        session.close()
    }

    @Test
    fun equalItemsHaveEqualHashes() {
        val scores = listOf(-0f, 0f, Float.NaN, -1.5f)
        val items = (scores + scores).map { RecommendedItem("i", "I", it, 0) }
        for (one in items) {
            for (other in items.filter { it == one }) assertEquals(one.hashCode(), other.hashCode())
            assertEquals(2, items.count { it == one })
        }
    }

    @Test
    fun aBundleSaysWhatItIs() = TestBundles.open("int8").use { recommender ->
        val info = recommender.info
        assertEquals(listOf<Any>("toy", 60, 5, 12, 5, "loop", "int8-dynamic", 1.0), with(info) {
            listOf<Any>(name, items, topK, numBeams, maxItems, form, precision, keepRatio)
        })
        assertEquals(TestBundles.folder("int8").listFiles()!!.sumOf { it.length() }, info.bytesOnDisk)
        assertTrue(info.expectedPeakMemoryBytes > 0 && info.hasSelfTest && info.provenance.isNotEmpty())
    }
}
