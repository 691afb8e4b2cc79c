package org.odllm.demo.home

import java.io.File
import org.odllm.demo.recommend.Item
import org.odllm.demo.work.writeWhole

/**
 * Keeps the history in the app's own storage: an item a line, its id, a tab and its title.
 *
 * @param file holds it.
 */
class HistoryFile(private val file: File) {
    /** Return what was kept; nothing where the file is missing or no such text. */
    fun read(): List<Item> {
        if (!file.isFile) return emptyList()
        return file.readLines().mapNotNull { line ->
            val parts = line.split('\t')
            if (parts.size == 2) Item(unescaped(parts[0]), unescaped(parts[1])) else null
        }
    }

    /** Keep a history instead of the one before. */
    fun write(items: List<Item>) =
        writeWhole(file, items.joinToString("") { "${escaped(it.id)}\t${escaped(it.title)}\n" })
}

private val ESCAPES = listOf('\\' to '\\', '\t' to 't', '\n' to 'n', '\r' to 'r')

private fun escaped(text: String): String = buildString {
    for (char in text) {
        val escape = ESCAPES.firstOrNull { it.first == char }
        if (escape == null) append(char) else append('\\').append(escape.second)
    }
}

private fun unescaped(text: String): String = buildString {
    var isEscape = false
    for (char in text) {
        when {
            isEscape -> append(ESCAPES.firstOrNull { it.second == char }?.first ?: char)
            char != '\\' -> append(char)
        }
        isEscape = !isEscape && char == '\\'
    }
}
