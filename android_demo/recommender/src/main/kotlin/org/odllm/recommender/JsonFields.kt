package org.odllm.recommender

/** Reads a JSON object that has exactly the fields that it is asked for. Throws [JsonException] otherwise. */
internal class JsonFields private constructor(private val members: Map<String, JsonValue>, private val where: String) {
    private val read = HashSet<String>()

    /** Reads a field that must be there. */
    fun <T> required(name: String, of: (JsonValue) -> T): T =
        optional(name, of) ?: throw JsonException("$where$name is missing")

    /** Reads a field, or returns null where it is not there. */
    fun <T : Any?> optional(name: String, of: (JsonValue) -> T): T? {
        read.add(name)
        val value = members[name] ?: return null
        try {
            return of(value)
        } catch (error: JsonException) {
            throw JsonException("$where$name: ${error.message}")
        }
    }

    fun text(name: String): String = required(name) { it.text }

    fun int(name: String, range: IntRange): Int = required(name) { it.long.within(range) }

    fun ints(name: String, range: IntRange): IntArray = required(name) { list ->
        val values = list.list
        IntArray(values.size) { values[it].long.within(range) }
    }

    fun long(name: String): Long = required(name) { value ->
        value.long.also { if (it < 0) throw JsonException("$it is negative") }
    }

    fun <T> fields(name: String, of: (JsonFields) -> T): T = required(name) { read(it, "", of) }

    private fun Long.within(range: IntRange): Int {
        if (this !in range.first.toLong()..range.last.toLong()) {
            throw JsonException("$this is outside ${range.first} … ${range.last}")
        }
        return toInt()
    }

    companion object {
        /** Reads an object's fields and refuses those that were not asked for. */
        fun <T> read(value: JsonValue, where: String = "", of: (JsonFields) -> T): T {
            val fields = JsonFields(value.members, where)
            val found = of(fields)
            val unknown = fields.members.keys - fields.read
            if (unknown.isNotEmpty()) throw JsonException("${fields.where}${unknown.first()} is no field of it")
            return found
        }
    }
}
