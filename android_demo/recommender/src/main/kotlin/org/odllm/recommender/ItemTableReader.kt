package org.odllm.recommender

import java.io.ByteArrayOutputStream
import java.io.File
import java.io.FileInputStream
import java.io.IOException

/** Reads `items.jsonl`, an `{"id", "title"}` a line, and checks that it is the table its catalogue was built for. */
internal class ItemTableReader(private val bundle: File, private val file: File, private val catalog: CatalogArrays) {
    private val table = ItemTable(catalog.items)
    private val idsHash = Sha256.digest()

    /** Throws [BundleDamagedException]. */
    fun read(): ItemTable {
        try {
            FileInputStream(file).use { stream -> forEachLine(stream, ::addLine) }
        } catch (error: IOException) {
            throw BundleDamagedException(bundle, file, "$file cannot be read: ${error.message}. $AGAIN", error)
        }
        if (table.size != catalog.items || Sha256.hex(idsHash.digest()) != catalog.idsSha256) {
            damaged("is not the item table that the bundle's catalogue was built for")
        }
        table.ids.trim()
        table.titles.trim()
        return table
    }

    private fun addLine(line: ByteArray, start: Int, end: Int) {
        val number = table.size + 1
        val (id, title) = try {
            val item = Json.parse(line, start, end)
            item["id"].text to item["title"].text
        } catch (error: JsonException) {
            damaged("has no item in line $number: ${error.message}")
        }
        val bytes = table.add(id, title) ?: damaged("has item '$id' twice, the second time in line $number")
        idsHash.update(bytes)
        idsHash.update('\n'.code.toByte())
    }

    /** Calls `line(bytes, start, end)` for each line, without its end. */
    private fun forEachLine(stream: FileInputStream, line: (ByteArray, Int, Int) -> Unit) {
        val chunk = ByteArray(CHUNK_BYTES)
        val begun = ByteArrayOutputStream() // a line that began in an earlier chunk
        while (true) {
            val count = stream.read(chunk)
            if (count < 0) break
            var start = 0
            for (at in 0 until count) {
                if (chunk[at] != NEWLINE) continue
                if (begun.size() == 0) {
                    line(chunk, start, at)
                } else {
                    begun.write(chunk, start, at - start)
                    line(begun.toByteArray(), 0, begun.size())
                    begun.reset()
                }
                start = at + 1
            }
            begun.write(chunk, start, count - start)
            if (begun.size() > MOST_LINE_BYTES) damaged("has a line of more than $MOST_LINE_BYTES bytes")
        }
        if (begun.size() > 0) line(begun.toByteArray(), 0, begun.size())
    }

    private fun damaged(what: String): Nothing = throw BundleDamagedException(bundle, file, "$file $what. $AGAIN")

    private companion object {
        const val CHUNK_BYTES = 1 shl 16
        const val MOST_LINE_BYTES = 1 shl 24
        const val NEWLINE = '\n'.code.toByte()
    }
}
