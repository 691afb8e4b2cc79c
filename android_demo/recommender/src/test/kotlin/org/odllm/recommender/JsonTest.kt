package org.odllm.recommender

import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Test

class JsonTest {
    @Test
    fun valuesOfEveryKind() {
        val members = """"b": {"ü": "\u00e9\ud83d\ude00\n\\/"}, "c": 9007199254740993"""
        val json = Json.parse(""" {"a": [1, -2.5e3, true, false, null], $members} """)
        assertEquals(listOf(1L, -2500.0), listOf(json["a"].list[0].long, json["a"].list[1].double))
        assertEquals(listOf(JsonBoolean(true), JsonBoolean(false), JsonNull), json["a"].list.drop(2))
        assertEquals("é\uD83D\uDE00\n\\/", json["b"]["ü"].text)
        assertEquals(9007199254740993L, json["c"].long)
    }

    @Test
    fun whatIsWrittenIsReadAgain() {
        val values = """["\u0000\"\\\ud83d\ude00é", 1e-7, 3, true, null]"""
        val json = Json.parse("""{"a": [], "b": {}, "c": $values, "d": {"e": [[1]]}}""")
        assertEquals(json, Json.parse(JsonWriter().value(json).toString()))
        val unwritable = JsonWriter().beginList().value(Double.NaN).value(Double.POSITIVE_INFINITY).endList()
        assertEquals("[null,null]", unwritable.toString())
    }

    @Test
    fun theOrderOfMembersDoesNotMatter() =
        assertEquals(Json.parse("""{"a": 1, "b": 2}"""), Json.parse("""{"b": 2, "a": 1}"""))

    @Test
    fun textsThatAreNoJson() {
        val texts = listOf(
            "", " ", "{", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{a: 1}", "[1 2]", "1 2", "NaN", "Infinity", "-", "01",
            "1.", ".5", "1e", "+1", "1e999", "tru", "nul", "'a'", "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\\ud800\"",
            "\"\\ud800x\"", "\"\\udc00\"",
            "\"\\ud800\\u0041\"", "\"a\nb\"", "{\"a\": 1, \"a\": 2}", "[".repeat(70) + "]".repeat(70), "\u00A01",
        )
        for (text in texts) assertThrows(text, JsonException::class.java) { Json.parse(text) }
    }

    @Test
    fun bytesThatAreNoUtf8() {
        for (fault in listOf(byteArrayOf(-1), byteArrayOf(-61), byteArrayOf(-19, -96, -128), byteArrayOf(-64, -128))) {
            val bytes = byteArrayOf('"'.code.toByte()) + fault + byteArrayOf('"'.code.toByte())
            assertThrows(JsonException::class.java) { Json.parse(bytes, 0, bytes.size) }
        }
    }

    @Test
    fun valuesOfAnotherKindThanExpected() {
        val json = Json.parse("""{"text": "x", "number": 1.5, "large": 4294967296}""")
        for (wrong in listOf<() -> Any>({ json["text"].long }, { json["number"].long }, { json["number"].text },
            { json["large"].int }, { json["text"].list }, { json["none"] }, { json.list })) {
            assertThrows(JsonException::class.java) { wrong() }
        }
    }
}
