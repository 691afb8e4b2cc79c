package org.odllm.recommender

import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction

/** Reads one JSON value by recursive descent out of UTF-8 bytes. */
internal class JsonParser(private val bytes: ByteArray, start: Int, private val end: Int) {
    private val start = start
    private var at = start

    fun whole(): JsonValue {
        val value = any(0)
        skipSpace()
        if (at != end) fail("something follows the value")
        return value
    }

    private fun any(depth: Int): JsonValue {
        if (depth > MOST_NESTED) fail("it is nested more than $MOST_NESTED deep")
        skipSpace()
        return when (peek()) {
            '{' -> members(depth)
            '[' -> list(depth)
            '"' -> JsonText(text())
            't' -> word("true", JsonBoolean(true))
            'f' -> word("false", JsonBoolean(false))
            'n' -> word("null", JsonNull)
            else -> number()
        }
    }

    private fun members(depth: Int): JsonValue {
        val found = LinkedHashMap<String, JsonValue>()
        at++
        if (nextIs('}')) return JsonObject(found)
        do {
            skipSpace()
            val name = text()
            expect(':')
            if (found.put(name, any(depth + 1)) != null) fail("'$name' stands in one object twice")
        } while (nextIs(','))
        expect('}')
        return JsonObject(found)
    }

    private fun list(depth: Int): JsonValue {
        val found = ArrayList<JsonValue>()
        at++
        if (nextIs(']')) return JsonList(found)
        do found.add(any(depth + 1)) while (nextIs(','))
        expect(']')
        return JsonList(found)
    }

    private fun text(): String {
        if (peek() != '"') fail("a text was expected")
        val first = ++at
        while (true) {
            when (peek()) {
                '"' -> return utf8(first, at++)
                '\\' -> return escapedText(first)
            }
            if (bytes[at] in 0..0x1F) fail("a control character stands in a text")
            at++
        }
    }

    /** Goes on where a text has its first escape. */
    private fun escapedText(first: Int): String {
        val out = StringBuilder(utf8(first, at))
        var plain = at
        while (peek() != '"') {
            if (bytes[at] in 0..0x1F) fail("a control character stands in a text")
            if (bytes[at] != '\\'.code.toByte()) {
                at++
                continue
            }
            out.append(utf8(plain, at))
            at++
            escape(out)
            plain = at
        }
        return out.append(utf8(plain, at++)).toString()
    }

    private fun escape(out: StringBuilder) {
        val letter = peek()
        at++
        if (letter == 'u') {
            val unit = hexadecimal()
            out.append(unit)
            if (unit.isLowSurrogate()) fail("half of a surrogate pair")
            if (!unit.isHighSurrogate()) return
            if (peek() != '\\' || at + 1 >= end || bytes[at + 1] != 'u'.code.toByte()) fail("half of a surrogate pair")
            at += 2
            val low = hexadecimal()
            if (!low.isLowSurrogate()) fail("half of a surrogate pair")
            out.append(low)
            return
        }
        val which = "\"\\/bfnrt".indexOf(letter)
        if (which < 0) fail("there is no such escape")
        out.append("\"\\/\b\u000C\n\r\t"[which])
    }

    private fun hexadecimal(): Char {
        var value = 0
        repeat(4) {
            val digit = "0123456789abcdef".indexOf(peek().lowercaseChar())
            if (digit < 0) fail("four hexadecimal digits were expected")
            value = value * 16 + digit
            at++
        }
        return value.toChar()
    }

    private fun utf8(from: Int, until: Int): String {
        for (i in from until until) if (bytes[i] < 0) return strictUtf8(from, until)
        return String(bytes, from, until - from, Charsets.ISO_8859_1)
    }

    private fun strictUtf8(from: Int, until: Int): String = try {
        val decoder = Charsets.UTF_8.newDecoder()
        decoder.onMalformedInput(CodingErrorAction.REPORT).onUnmappableCharacter(CodingErrorAction.REPORT)
        decoder.decode(ByteBuffer.wrap(bytes, from, until - from)).toString()
    } catch (_: CharacterCodingException) {
        fail("a text is not UTF-8")
    }

    private fun number(): JsonValue {
        val first = at
        while (at < end && bytes[at].toInt().toChar() in "+-.0123456789eE") at++
        val digits = String(bytes, first, at - first, Charsets.ISO_8859_1)
        if (!NUMBER.matches(digits)) fail("a value was expected")
        digits.toLongOrNull()?.let { return JsonInteger(it) }
        val value = digits.toDouble()
        if (value.isInfinite()) fail("$digits is too large a number")
        return JsonDecimal(value)
    }

    private fun word(expected: String, value: JsonValue): JsonValue {
        for (letter in expected) {
            if (peek() != letter) fail("a value was expected")
            at++
        }
        return value
    }

    private fun skipSpace() {
        while (at < end) {
            val byte = bytes[at].toInt()
            if (byte != SPACE && byte != TAB && byte != RETURN && byte != NEWLINE) return
            at++
        }
    }

    private fun peek(): Char {
        if (at >= end) fail("it ends too early")
        return (bytes[at].toInt() and 0xFF).toChar()
    }

    private fun nextIs(wanted: Char): Boolean {
        skipSpace()
        if (peek() != wanted) return false
        at++
        return true
    }

    private fun expect(wanted: Char) {
        if (!nextIs(wanted)) fail("'$wanted' was expected")
    }

    private fun fail(why: String): Nothing = throw JsonException("it is no JSON at byte ${at - start}: $why")

    private companion object {
        const val MOST_NESTED = 64
        const val SPACE = 0x20
        const val TAB = 0x09
        const val RETURN = 0x0D
        const val NEWLINE = 0x0A
        val NUMBER = Regex("-?(0|[1-9][0-9]*)(\\.[0-9]+)?([eE][+-]?[0-9]+)?")
    }
}
