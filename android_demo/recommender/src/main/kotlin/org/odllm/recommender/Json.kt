package org.odllm.recommender

import java.io.File
import java.io.IOException

/** JSON texts (RFC 8259), read strictly: UTF-8 without faults, every key once, no NaN, nesting limited. */
internal object Json {
    /** No file of a bundle that is read as one JSON value is as large. */
    private const val MOST_BYTES = 64L shl 20

    /** Reads a value. Throws [JsonException]. */
    fun parse(text: String): JsonValue = text.toByteArray(Charsets.UTF_8).let { parse(it, 0, it.size) }

    /** Reads the value that stands in the bytes `start until end`. Throws [JsonException]. */
    fun parse(bytes: ByteArray, start: Int, end: Int): JsonValue = JsonParser(bytes, start, end).whole()

    /** Reads a file that is one value. Throws [JsonException], also where it cannot be read. */
    fun read(file: File): JsonValue {
        val length = file.length()
        if (length > MOST_BYTES) throw JsonException("it has $length bytes; $MOST_BYTES are the most")
        try {
            return file.readBytes().let { parse(it, 0, it.size) }
        } catch (error: IOException) {
            throw JsonException("it cannot be read: ${error.message}")
        } catch (_: OutOfMemoryError) {
            throw JsonException("its $length bytes are too much for the app's heap")
        }
    }
}
