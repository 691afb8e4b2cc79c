package org.odllm.recommender

/** Writes JSON on one line, call by call: names and values in the order in which they shall stand. */
internal class JsonWriter {
    private val out = StringBuilder()
    private var needsComma = false

    fun beginObject(): JsonWriter = open('{')

    fun endObject(): JsonWriter = close('}')

    fun beginList(): JsonWriter = open('[')

    fun endList(): JsonWriter = close(']')

    fun name(name: String): JsonWriter {
        separate()
        quote(name)
        out.append(':')
        needsComma = false
        return this
    }

    fun value(value: String?): JsonWriter {
        if (value == null) return raw("null")
        separate()
        quote(value)
        needsComma = true
        return this
    }

    fun value(value: Long): JsonWriter = raw(value.toString())

    fun value(value: Boolean): JsonWriter = raw(value.toString())

    /** Writes a number; NaN and the infinities, which JSON does not have, are written as null. */
    fun value(value: Double): JsonWriter = raw(if (value.isNaN() || value.isInfinite()) "null" else value.toString())

    fun value(value: JsonValue): JsonWriter = when (value) {
        is JsonText -> value(value.text)
        is JsonInteger -> value(value.long)
        is JsonDecimal -> value(value.double)
        is JsonBoolean -> value(value.boolean)
        is JsonNull -> raw("null")
        is JsonList -> {
            beginList()
            value.list.forEach { value(it) }
            endList()
        }
        is JsonObject -> {
            beginObject()
            value.members.forEach { (name, member) -> name(name).value(member) }
            endObject()
        }
    }

    override fun toString(): String = out.toString()

    private fun open(bracket: Char): JsonWriter {
        separate()
        out.append(bracket)
        needsComma = false
        return this
    }

    private fun close(bracket: Char): JsonWriter {
        out.append(bracket)
        needsComma = true
        return this
    }

    private fun raw(text: String): JsonWriter {
        separate()
        out.append(text)
        needsComma = true
        return this
    }

    private fun separate() {
        if (needsComma) out.append(',')
    }

    private fun quote(text: String) {
        out.append('"')
        for (letter in text) {
            when {
                letter == '"' || letter == '\\' -> out.append('\\').append(letter)
                letter < ' ' || letter.isSurrogate() -> out.append("\\u" + letter.code.toString(16).padStart(4, '0'))
                else -> out.append(letter)
            }
        }
        out.append('"')
    }
}
