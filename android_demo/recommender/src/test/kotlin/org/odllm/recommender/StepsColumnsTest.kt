package org.odllm.recommender

import java.nio.Buffer
import java.nio.ByteBuffer
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertSame
import org.junit.Test

/** The columns of keys and values: what is written where, what is seen, and what a session keeps. */
class StepsColumnsTest {
    private val columns = StepsColumns(listOf("keys_0", "values_0"), heads = 2, columns = 5, headSize = 3)

    @Test
    fun tokensOfARunLieHeadByHeadAndAreSeenByTheirLabel() {
        columns.begin(emptyList(), 0)
        columns.take(run(tokens = 4), rows = 4, at = 1, count = 2) { 7 + it }
        assertEquals(number(buffer = 1, head = 1, token = 1, place = 2), at(1, 1, column = 2, place = 2))
        val line = FloatArray(5)
        columns.see(line) { it == 8 }
        assertArrayEquals(floatArrayOf(-1e4f, -1e4f, 0f, -1e4f, -1e4f), line, 0f)
    }

    @Test
    fun tokensBeyondTheLastColumnAreLeftOut() {
        columns.begin(emptyList(), 0)
        columns.take(run(tokens = 4), rows = 4, at = 3, count = 4) { 0 }
        columns.take(run(tokens = 4), rows = 4, at = 6, count = 4) { 0 }
        assertEquals(number(0, 0, 1, 0), at(0, 0, 4, 0))
    }

    @Test
    fun keptTokensComeBackAndStayTheSameObjects() {
        columns.begin(emptyList(), 0)
        columns.take(run(tokens = 4), rows = 4, at = 0, count = 4) { 0 }
        val kept = columns.keep(3, emptyList())
        columns.erase()
        assertEquals(0f, at(1, 1, 2, 2))
        columns.begin(kept, 2)
        assertEquals(number(1, 1, 1, 2), at(1, 1, 1, 2))
        assertEquals(-1, columns.label(2))
        columns.take(run(tokens = 4), rows = 4, at = 2, count = 1) { 0 }
        val grown = columns.keep(3, kept)
        assertSame(kept[1], grown[1])
        assertArrayEquals(kept[0].values, grown[2].values, 0f)
    }

    @Test
    fun aCallBetweenDoesNotSpoilWhatIsKept() {
        columns.begin(emptyList(), 0)
        columns.take(run(tokens = 4), rows = 4, at = 0, count = 1) { 0 }
        val kept = columns.keep(1, emptyList())
        columns.begin(emptyList(), 0)
        columns.take(run(tokens = 4).map { negated(it) }, rows = 4, at = 0, count = 1) { 0 }
        assertEquals(-number(0, 1, 0, 0), at(0, 1, 0, 0))
        columns.begin(kept, 1)
        assertEquals(number(0, 1, 0, 0), at(0, 1, 0, 0))
    }

    private fun run(tokens: Int): List<ByteBuffer> = List(2) { buffer ->
        Tensors.buffer(2 * tokens * 3 * Float.SIZE_BYTES).also { bytes ->
            for (head in 0..1) for (token in 0 until tokens) for (place in 0..2) {
                bytes.asFloatBuffer().put((head * tokens + token) * 3 + place, number(buffer, head, token, place))
            }
        }
    }

    private fun negated(bytes: ByteBuffer) = bytes.also {
        val floats = it.asFloatBuffer()
        for (place in 0 until (floats as Buffer).limit()) floats.put(place, -floats[place])
    }

    private fun number(buffer: Int, head: Int, token: Int, place: Int) =
        1000f * buffer + 100 * head + 10 * token + place + 1

    private fun at(buffer: Int, head: Int, column: Int, place: Int) =
        columns.buffers[buffer].asFloatBuffer()[(head * 5 + column) * 3 + place]
}
