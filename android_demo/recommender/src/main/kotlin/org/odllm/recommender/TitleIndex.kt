package org.odllm.recommender

import java.text.Normalizer
import java.util.Locale

/** Titles without case and marks, to be searched. */
internal class TitleIndex(table: ItemTable) {
    private val titles = PackedTexts(table.size)

    init {
        for (row in 0 until table.size) titles.add(folded(table.titles[row]).toByteArray(Charsets.UTF_8))
        titles.trim()
    }

    /** Returns the first rows whose titles contain every word. */
    fun rows(words: String, limit: Int): List<Int> {
        val parts = wordsOf(folded(words)).map { it.toByteArray(Charsets.UTF_8) }
        val found = ArrayList<Int>()
        for (row in 0 until titles.size) {
            if (found.size >= limit) break
            if (parts.all { titles.contains(row, it) }) found.add(row)
        }
        return found
    }

    private companion object {
        val MARKS = Regex("\\p{M}+")

        /** Splits at spaces of every script: regular expressions mean others by them on Android than on a JVM. */
        fun wordsOf(text: String): List<String> =
            text.map { if (it.isWhitespace()) ' ' else it }.joinToString("").split(' ').filter { it.isNotEmpty() }

        /**
         * In upper case, which sigmas at the end of a word and before it, `i` and `ı`, `ß` and `ss` have in common; by
         * way of lower case for the one upper-case letter that has another: `ẞ`.
         */
        fun folded(text: String): String {
            if (text.all { it < '\u0080' }) return text.uppercase(Locale.ROOT)
            val bare = MARKS.replace(Normalizer.normalize(text, Normalizer.Form.NFD), "")
            return bare.lowercase(Locale.ROOT).uppercase(Locale.ROOT)
        }
    }
}
