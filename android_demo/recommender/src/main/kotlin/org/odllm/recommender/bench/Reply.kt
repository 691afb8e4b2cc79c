package org.odllm.recommender.bench

import org.odllm.recommender.JsonWriter
import org.odllm.recommender.Ranked

/** Writes a reply, field by field. */
internal class Reply {
    private val writer = JsonWriter().beginObject()

    /** Returns the whole reply. */
    fun text(): String = writer.endObject().toString()

    fun field(name: String, value: String?) = apply { writer.name(name).value(value) }

    fun field(name: String, value: Double?) = apply {
        writer.name(name)
        if (value == null) writer.value(null) else writer.value(value)
    }

    /** A number of bytes; below 0 it is not told. */
    fun bytes(name: String, value: Long) = apply {
        writer.name(name)
        if (value < 0) writer.value(null) else writer.value(value)
    }

    fun field(name: String, values: DoubleArray) = apply {
        writer.name(name).beginList()
        for (value in values) writer.value(value)
        writer.endList()
    }

    fun field(name: String, values: LongArray) = apply {
        writer.name(name)
        list(values)
    }

    fun field(name: String, values: Map<String, String>) = apply {
        writer.name(name).beginObject()
        for ((key, value) in values) writer.name(key).value(value)
        writer.endObject()
    }

    fun nodes(name: String, values: Collection<ProfiledNode>) = apply {
        writer.name(name).beginList()
        for (node in values) writer.beginList().value(node.name).value(node.operator).value(node.provider).endList()
        writer.endList()
    }

    fun answers(name: String, values: List<Ranked>) = apply {
        writer.name(name).beginList()
        for (ranked in values) {
            writer.beginObject().name("items")
            list(ranked.items)
            writer.name("scores").beginList()
            for (score in ranked.scores) writer.value(score.toDouble())
            writer.endList().endObject()
        }
        writer.endList()
    }

    private fun list(values: LongArray) {
        writer.beginList()
        for (value in values) writer.value(value)
        writer.endList()
    }
}
