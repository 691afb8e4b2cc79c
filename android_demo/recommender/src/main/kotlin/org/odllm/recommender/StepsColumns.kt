package org.odllm.recommender

import java.nio.ByteBuffer
import java.nio.FloatBuffer

/**
 * Keys and values of one token, as a session keeps them.
 *
 * @property number tells it from every other.
 * @property values `[2 * layers, kv heads, head size]`.
 */
internal class KeptToken(val number: Long, val values: FloatArray)

/** A session's tokens, from the prompt's first on. Copies of a session share them. */
internal class KeptTokens(val tokens: List<KeptToken>) : CacheContent() {
    override fun free() = Unit // the heap has them
}

/**
 * Keys and values of a call by column, and the trie node that labels each column: the prompt's carry the root, a step's
 * the nodes of its beams. What lies in columns without a label is of earlier calls: the mask hides it.
 *
 * @property names of the buffers, as the graphs' inputs are called.
 * @property heads of keys and values.
 * @property columns that a graph reads.
 * @property headSize numbers a head.
 */
internal class StepsColumns(val names: List<String>, val heads: Int, val columns: Int, val headSize: Int) {
    /** `[1, heads, columns, headSize]` each, in the order of [names]. */
    val buffers: List<ByteBuffer> = names.map { Tensors.buffer(heads * columns * headSize * Float.SIZE_BYTES) }
    private val floats: List<FloatBuffer> = buffers.map { it.asFloatBuffer() }
    private val labels = IntArray(columns) { EMPTY }

    /** Numbers of the kept tokens that lie in the columns; 0: none that is kept. */
    private val residents = LongArray(columns)
    private var lastNumber = 0L

    /** Forgets all columns but those of a session's first [count] tokens, which are put there if they are not. */
    fun begin(kept: List<KeptToken>, count: Int) {
        for (column in 0 until count) {
            if (residents[column] == kept[column].number) continue
            moveToken(column, kept[column].values, FloatBuffer::put)
            residents[column] = kept[column].number
        }
        labels.fill(ROOT, 0, count)
        labels.fill(EMPTY, count)
    }

    /** Makes all numbers 0: those of a call that went wrong would spoil the next one's, hidden or not. */
    fun erase() {
        for (buffer in floats) for (at in 0 until buffer.limit()) buffer.put(at, 0f)
        residents.fill(0)
    }

    /** Writes into a line of the mask what a token sees of the columns whose label [isSeen]. */
    inline fun see(line: FloatArray, isSeen: (label: Int) -> Boolean) {
        for (column in 0 until columns) line[column] = if (isSeen(label(column))) SEEN else UNSEEN
    }

    /** Returns the trie node of a column; -1: what lies there is no part of this call. */
    fun label(column: Int): Int = labels[column]

    /**
     * Takes over the first [count] tokens of a run into the columns from [at] on; beyond the last column there is no
     * room and no need, because nothing follows the last step.
     *
     * @param fresh `[1, heads, rows, headSize]` each, in the order of [names].
     */
    inline fun take(fresh: List<ByteBuffer>, rows: Int, at: Int, count: Int, label: (token: Int) -> Int) {
        val room = minOf(count, columns - at)
        if (room <= 0) return
        copy(fresh, rows, at, room)
        for (token in 0 until room) relabel(at + token, label(token))
    }

    /** Copies the first [count] tokens of a run, all of which have room; part of [take]. */
    fun copy(fresh: List<ByteBuffer>, rows: Int, at: Int, count: Int) {
        val token = headSize * Float.SIZE_BYTES
        for (index in buffers.indices) {
            val from = fresh[index]
            val to = buffers[index]
            for (head in 0 until heads) {
                from.window(head * rows * token, (head * rows + count) * token)
                to.window((head * columns + at) * token, (head * columns + at + count) * token)
                to.put(from)
            }
            from.wholeWindow()
            to.wholeWindow()
        }
    }

    /** Labels a column with what a run wrote into it; part of [take]. */
    fun relabel(column: Int, label: Int) {
        labels[column] = label
        residents[column] = 0
    }

    /** Returns the first [count] tokens for a session. Those that came from one are the same objects. */
    fun keep(count: Int, kept: List<KeptToken>): List<KeptToken> = List(count) { column ->
        val resident = residents[column]
        if (resident != 0L && column < kept.size && kept[column].number == resident) return@List kept[column]
        val values = FloatArray(names.size * heads * headSize)
        moveToken(column, values, FloatBuffer::get)
        residents[column] = ++lastNumber
        KeptToken(lastNumber, values)
    }

    private inline fun moveToken(
        column: Int,
        values: FloatArray,
        move: FloatBuffer.(FloatArray, Int, Int) -> FloatBuffer,
    ) {
        var at = 0
        for (buffer in floats) {
            for (head in 0 until heads) {
                buffer.window((head * columns + column) * headSize, (head * columns + column + 1) * headSize)
                buffer.move(values, at, headSize)
                at += headSize
            }
            buffer.wholeWindow()
        }
    }

    companion object {
        const val ROOT = 0
        private const val EMPTY = -1
        const val SEEN = 0f

        /** What the mask adds where a token does not see a column: nothing is left of it behind the softmax. */
        const val UNSEEN = -1e4f
    }
}
