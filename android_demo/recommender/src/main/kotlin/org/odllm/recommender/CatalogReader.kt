package org.odllm.recommender

import java.io.File
import java.io.FileInputStream
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.channels.ClosedByInterruptException
import java.nio.channels.FileChannel

/** Reads `catalog.bin`: header, code sizes, then the arrays as little-endian int32. Every length is checked first. */
internal class CatalogReader(private val bundle: File, private val file: File) {
    /** Maps the file and checks that its arrays form a trie. Throws [BundleDamagedException]. */
    fun read(): CatalogArrays {
        val bytes = map()
        if (bytes.limit() < HEADER_BYTES || MAGIC.indices.any { bytes[it] != MAGIC[it].code.toByte() }) {
            damaged("is no catalogue: it does not begin as one does")
        }
        val version = bytes.getInt(8)
        if (version != FORMAT_VERSION) damaged("has catalogue format $version; this library reads $FORMAT_VERSION")
        val (levels, items, nodes) = listOf(12, 16, 20).map { bytes.getInt(it).toLong() and 0xFFFFFFFFL }
        if (levels !in LEVELS) damaged("says $levels levels; ${LEVELS.first} to ${LEVELS.last} are possible")
        val lengths = linkedMapOf(
            "child_start" to nodes + 1,
            "node_code" to nodes,
            "live_items" to nodes + items,
            "item_path" to items * (levels + 1),
            "item_order" to items,
            "level_width" to levels + 1,
        )
        val expected = HEADER_BYTES + Int.SIZE_BYTES * (levels + lengths.values.sum())
        if (bytes.limit().toLong() != expected) damaged("has ${bytes.limit()} bytes; its header asks for $expected")
        val codeSizes = IntArray(levels.toInt()) { bytes.getInt(HEADER_BYTES + Int.SIZE_BYTES * it) }
        val idsSha256 = Sha256.hex(ByteArray(32) { bytes[24 + it] })
        val sections = sections(bytes, HEADER_BYTES + Int.SIZE_BYTES * levels.toInt(), lengths)
        val catalog = CatalogArrays(levels.toInt(), items.toInt(), nodes.toInt(), codeSizes, idsSha256, sections)
        TrieCheck(catalog).firstContradiction()?.let { damaged("has arrays that do not form a trie: $it") }
        return catalog
    }

    /** Maps the file. Java closes what an interrupted thread maps from: the thread is interrupted again afterwards. */
    private fun map(): ByteBuffer {
        var isInterrupted = Thread.interrupted()
        try {
            while (true) {
                try {
                    return mapped()
                } catch (_: ClosedByInterruptException) {
                    isInterrupted = Thread.interrupted() || isInterrupted
                }
            }
        } catch (error: IOException) {
            throw BundleDamagedException(bundle, file, "$file cannot be read: ${error.message}. $AGAIN", error)
        } finally {
            if (isInterrupted) Thread.currentThread().interrupt()
        }
    }

    private fun mapped(): ByteBuffer = FileInputStream(file).use { stream ->
        val length = stream.channel.size()
        if (length > Int.MAX_VALUE) damaged("has $length bytes; ${Int.MAX_VALUE} are the most that are read here")
        stream.channel.map(FileChannel.MapMode.READ_ONLY, 0, length).order(ByteOrder.LITTLE_ENDIAN)
    }

    private fun sections(bytes: ByteBuffer, first: Int, lengths: Map<String, Long>): Map<String, ByteBuffer> {
        var at = first
        return lengths.mapValues { (_, length) ->
            val end = at + Int.SIZE_BYTES * length.toInt()
            val section = bytes.duplicate()
            section.position(at)
            section.limit(end)
            at = end
            section.slice()
        }
    }

    private fun damaged(what: String): Nothing = throw BundleDamagedException(bundle, file, "$file $what. $AGAIN")

    private companion object {
        const val MAGIC = "ODLMCAT\u0000"
        const val FORMAT_VERSION = 1
        const val HEADER_BYTES = 56
        val LEVELS = 2L..6L
    }
}
