package org.odllm.recommender

import java.io.File

/** Changes to a manifest that nobody makes by accident. */
internal object Manifests {
    fun edit(bundle: File, change: (JsonValue) -> JsonValue) {
        val file = File(bundle, "manifest.json")
        file.writeText(JsonWriter().value(change(Json.read(file))).toString())
    }

    /** Says of a file what it is now, so that its hash does not give it away. */
    fun describe(bundle: File, name: String) = edit(bundle) { manifest ->
        val file = File(bundle, name)
        val fact = mapOf("bytes" to JsonInteger(file.length()), "sha256" to JsonText(Sha256.of(file)))
        with(manifest, JsonObject(fact), "files", name)
    }

    /** Returns an object with another member somewhere inside. */
    fun with(json: JsonValue, value: JsonValue, vararg path: String): JsonValue {
        val inner = if (path.size == 1) value else with(json[path[0]], value, *path.copyOfRange(1, path.size))
        return JsonObject(json.members + (path[0] to inner))
    }

    /** Returns an object without a member somewhere inside. */
    fun without(json: JsonValue, vararg path: String): JsonValue {
        if (path.size == 1) return JsonObject(json.members - path[0])
        return JsonObject(json.members + (path[0] to without(json[path[0]], *path.copyOfRange(1, path.size))))
    }
}
