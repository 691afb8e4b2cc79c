package org.odllm.recommender.bench

import java.io.Closeable
import java.io.File
import java.io.IOException
import java.io.RandomAccessFile

/**
 * A small file of `/proc` that is read again and again: opened once, and read without leaving garbage behind, which
 * would be in what is measured.
 *
 * @throws IOException the file cannot be opened.
 */
internal class ProcFile(path: File) : Closeable {
    private val file = RandomAccessFile(path, "r")
    private var bytes = ByteArray(4096)
    private var size = 0

    /**
     * Reads the file as it is now.
     *
     * @throws IOException it cannot be read: of a thread or a process that has ended.
     */
    fun read() {
        file.seek(0)
        size = 0
        while (true) {
            if (size == bytes.size) bytes = bytes.copyOf(2 * size)
            val more = file.read(bytes, size, bytes.size - size)
            if (more < 0) return
            size += more
        }
    }

    /** Returns the whole number with which a line goes on that begins with [name] and a colon; -1 without one. */
    fun field(name: String): Long {
        var line = 0
        while (line < size) {
            if (startsWith(line, name)) return numberAt(line + name.length + 1)
            while (line < size && bytes[line] != NEWLINE) line++
            line++
        }
        return -1
    }

    /** Returns the whole number with which the text begins; -1 if it begins with none. */
    fun firstNumber(): Long = numberAt(0)

    override fun close() = file.close()

    private fun startsWith(line: Int, name: String): Boolean {
        if (line + name.length >= size || bytes[line + name.length] != COLON) return false
        return name.indices.all { bytes[line + it] == name[it].code.toByte() }
    }

    private fun numberAt(start: Int): Long {
        var at = start
        while (at < size && (bytes[at] == SPACE || bytes[at] == TAB)) at++
        if (at >= size || !isDigit(at)) return -1
        var value = 0L
        while (at < size && isDigit(at)) value = 10 * value + (bytes[at++] - ZERO)
        return value
    }

    private fun isDigit(at: Int) = bytes[at] in ZERO..NINE

    companion object {
        private const val NEWLINE = '\n'.code.toByte()
        private const val COLON = ':'.code.toByte()
        private const val SPACE = ' '.code.toByte()
        private const val TAB = '\t'.code.toByte()
        private const val ZERO = '0'.code.toByte()
        private const val NINE = '9'.code.toByte()

        /** Returns an opened file, or null where it cannot be read: a system's rules may close it to apps. */
        fun openOrNull(path: File): ProcFile? = try {
            ProcFile(path).also { it.read() }
        } catch (_: IOException) {
            null
        }
    }
}
