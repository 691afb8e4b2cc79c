package org.odllm.recommender

/** A text is no JSON, or a value is not what its reader expects. */
internal class JsonException(message: String) : Exception(message)

/** A value of a JSON text. Accessors throw [JsonException] where it is of another kind. */
internal sealed class JsonValue {
    /** What it is, for messages. */
    protected abstract val kind: String

    open val text: String get() = refuse("a text")
    open val long: Long get() = refuse("a whole number")
    open val double: Double get() = refuse("a number")
    open val boolean: Boolean get() = refuse("true or false")
    open val list: List<JsonValue> get() = refuse("a list")
    open val members: Map<String, JsonValue> get() = refuse("an object")

    /** A whole number that fits 32 bits. */
    val int: Int
        get() {
            val value = long
            if (value !in Int.MIN_VALUE..Int.MAX_VALUE) throw JsonException("$value is too large a number")
            return value.toInt()
        }

    /** Whole numbers, each of 32 bits. */
    val ints: IntArray
        get() {
            val values = list
            return IntArray(values.size) { values[it].int }
        }

    val texts: List<String> get() = list.map { it.text }

    /** Returns a member of an object. Throws [JsonException] where there is none of that name. */
    operator fun get(name: String): JsonValue = members[name] ?: throw JsonException("'$name' is missing")

    /** Returns a member of an object, or null where there is none of that name. */
    fun find(name: String): JsonValue? = members[name]

    private fun refuse(wanted: String): Nothing = throw JsonException("$kind was found where $wanted was expected")
}

internal data class JsonText(override val text: String) : JsonValue() {
    override val kind get() = "a text"
}

internal data class JsonInteger(override val long: Long) : JsonValue() {
    override val kind get() = "a whole number"
    override val double get() = long.toDouble()
}

internal data class JsonDecimal(override val double: Double) : JsonValue() {
    override val kind get() = "a number"
}

internal data class JsonBoolean(override val boolean: Boolean) : JsonValue() {
    override val kind get() = "$boolean"
}

internal data class JsonList(override val list: List<JsonValue>) : JsonValue() {
    override val kind get() = "a list"
}

internal data class JsonObject(override val members: Map<String, JsonValue>) : JsonValue() {
    override val kind get() = "an object"
}

internal object JsonNull : JsonValue() {
    override val kind get() = "null"
}
