package org.odllm.recommender

/**
 * Texts by row, as UTF-8 in one array: a million of them are two objects. Not for several threads while it is filled.
 */
internal class PackedTexts(expected: Int) {
    private var bytes = ByteArray(FIRST_BYTES)
    private var ends = IntArray(expected)

    var size = 0
        private set

    /** Appends a text in its UTF-8 form. Throws [OutOfMemoryError] where all of them have more than 2 GiB. */
    fun add(added: ByteArray) {
        val start = start(size)
        if (added.size > Int.MAX_VALUE - start) throw OutOfMemoryError("texts of more than ${Int.MAX_VALUE} bytes")
        if (bytes.size - start < added.size) bytes = bytes.copyOf(grown(bytes.size, start + added.size))
        if (size == ends.size) ends = ends.copyOf(grown(size, size + 1))
        added.copyInto(bytes, start)
        ends[size++] = start + added.size
    }

    /** Gives back what was reserved and not used. */
    fun trim() {
        bytes = bytes.copyOf(start(size))
        ends = ends.copyOf(size)
    }

    operator fun get(row: Int): String = String(bytes, start(row), ends[row] - start(row), Charsets.UTF_8)

    /** Returns whether the text at a row has this UTF-8 form. */
    fun isAt(row: Int, text: ByteArray): Boolean {
        val start = start(row)
        if (ends[row] - start != text.size) return false
        return text.indices.all { bytes[start + it] == text[it] }
    }

    /** Returns whether the text at a row contains this UTF-8 form. */
    fun contains(row: Int, part: ByteArray): Boolean {
        for (at in start(row)..ends[row] - part.size) {
            if (part.indices.all { bytes[at + it] == part[it] }) return true
        }
        return false
    }

    private fun start(row: Int) = if (row == 0) 0 else ends[row - 1]

    private fun grown(size: Int, needed: Int): Int = maxOf(needed, minOf(2L * size, Int.MAX_VALUE - 8L).toInt())

    private companion object {
        const val FIRST_BYTES = 1 shl 12
    }
}
