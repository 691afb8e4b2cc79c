package org.odllm.recommender

import org.junit.Assert.assertEquals
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Test

/** Cases beside a few of `tests/odllm_export` that say what counts as the same list. */
class ListDifferenceTest {
    @Test
    fun theSameListInAnotherOrderOfEqualScores() {
        assertNull(difference(list(1 to -1f, 2 to -1f, 3 to -2f), list(2 to -1f, 1 to -1f, 3 to -2f)))
        assertNull(difference(list(1 to -1f, 2 to -1.00005f), list(2 to -1f, 1 to -1.00005f)))
        assertNull(difference(list(), list()))
    }

    @Test
    fun otherItemsOnlyWhereTheyStandLevelWithTheEnd() {
        assertNull(difference(list(1 to -1f, 2 to -2f), list(1 to -1f, 9 to -2f)))
        assertNotNull(difference(list(1 to -1f, 2 to -2f, 3 to -3f), list(1 to -1f, 9 to -2f, 3 to -3f)))
    }

    @Test
    fun anotherLengthScoreOrPlace() {
        assertEquals("1 items instead of 2", difference(list(1 to -1f), list(1 to -1f, 2 to -2f)))
        assertEquals("item row 1 has score -1.0 instead of -1.1", difference(list(1 to -1f), list(1 to -1.1f)))
        assertEquals(
            "score -1.0 instead of -1.5 at position 1",
            difference(list(1 to -1f, 2 to -2f), list(3 to -1.5f, 2 to -2f)),
        )
        assertNotNull(difference(list(1 to Float.NaN), list(2 to -1f)))
    }

    @Test
    fun theShareOfTheExpectedItems() {
        assertEquals(0.5, ListDifference.overlap(list(1 to -1f, 2 to -2f), list(2 to -1f, 3 to -2f)), 0.0)
        assertEquals(1.0, ListDifference.overlap(list(), list()), 0.0)
        assertEquals(0.0, ListDifference.overlap(list(1 to -1f), list()), 0.0)
        assertEquals(0.25, ListDifference.largest(list(1 to -1f, 2 to -2f), list(2 to -2.25f, 3 to -9f)), 1e-7)
    }

    private fun difference(found: Ranked, expected: Ranked) = ListDifference.of(found, expected, 1e-4)

    private fun list(vararg items: Pair<Int, Float>) = Ranked(
        LongArray(items.size) { items[it].first.toLong() },
        FloatArray(items.size) { items[it].second },
        0,
    )
}
