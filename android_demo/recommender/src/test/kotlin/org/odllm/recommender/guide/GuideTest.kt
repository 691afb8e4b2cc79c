package org.odllm.recommender.guide

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.recommender.Cancellation
import org.odllm.recommender.Recommender
import org.odllm.recommender.TestBundles

/** The samples of docs/android.md do what it says. */
class GuideTest {
    @get:Rule
    val temporary = TemporaryFolder()

    @Test
    fun askingInKotlin() = Movies(TestBundles.folder("loop")) { 1L shl 32 }.use { movies ->
        val watched = movies.find("number 1").take(3)
        assertEquals(10, movies.next(watched).size)
    }

    @Test
    fun askingInJava() = JavaMovies(TestBundles.folder("loop")).use { movies ->
        assertEquals(10, movies.next(listOf("i1"), Cancellation.NEVER).items.size)
    }

    @Test
    fun updating() = Recommender.open(TestBundles.copy("loop", temporary.root)).use { recommender ->
        assertTrue(takeUpdate(recommender, TestBundles.copy("grown-files", temporary.root)))
        assertFalse(takeUpdate(recommender, TestBundles.copy("other", temporary.root)))
        assertEquals(62, recommender.catalog.size)
        assertEquals(listOf("loop"), temporary.root.list()!!.toList())
    }
}
