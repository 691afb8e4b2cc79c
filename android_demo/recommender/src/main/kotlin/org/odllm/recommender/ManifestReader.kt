package org.odllm.recommender

import java.io.File

/** Reads a bundle's manifest: schema, every field's type and range, and file names that do not leave the folder. */
internal object ManifestReader {
    const val SCHEMA_VERSION: Int = 2

    private const val MOST_LEVELS = 6
    private val POSITIVE = 1..Int.MAX_VALUE
    private val NATURAL = 0..Int.MAX_VALUE

    /** Of axes and counts that decide how much is allocated. */
    private val SIZE = 1 until (1 shl 20)

    /**
     * Throws [BundleNotFoundException], [BundleTooNewException] or [BundleDamagedException].
     *
     * @param bundle the folder that the manifest speaks of, for messages and paths.
     * @param folder where the manifest lies, if elsewhere.
     */
    fun read(bundle: File, folder: File = bundle): Manifest {
        val file = File(folder, BundleFile.MANIFEST)
        if (!file.isFile) {
            throw BundleNotFoundException(
                bundle,
                "$folder is not a bundle: it has no ${BundleFile.MANIFEST}. Install one there, or name its folder.",
            )
        }
        try {
            val json = Json.read(file)
            checkSchema(bundle, file, json)
            return JsonFields.read(json) { manifest(bundle, it, json) }
        } catch (error: JsonException) {
            throw BundleDamagedException(bundle, file, "$file is damaged: ${error.message}. $AGAIN")
        }
    }

    private fun checkSchema(bundle: File, file: File, json: JsonValue) {
        val version = json["schema_version"].long
        if (version > SCHEMA_VERSION) {
            throw BundleTooNewException(
                bundle,
                "$file has schema version $version; this library reads $SCHEMA_VERSION. Update the app.",
            )
        }
        if (version < SCHEMA_VERSION) {
            throw JsonException("it has schema version $version, and this library reads $SCHEMA_VERSION")
        }
    }

    private fun manifest(bundle: File, fields: JsonFields, json: JsonValue): Manifest {
        val graph = fields.fields("graph", ::graph)
        val files = fields.required("files", ::files)
        for (needed in Forms.graphs(graph.form) + listOf(BundleFile.WEIGHTS, BundleFile.CATALOG, BundleFile.ITEMS)) {
            if (needed !in files) throw JsonException("it does not name $needed")
        }
        return Manifest(
            folder = bundle,
            name = fields.text("name"),
            files = files,
            model = fields.fields("model", ::model),
            prompt = fields.fields("prompt", ::prompt),
            search = fields.fields("search", ::search),
            graph = graph,
            items = fields.int("items", POSITIVE),
            peakMemoryBytes = fields.long("expected_peak_memory_bytes"),
            provenance = fields.required("provenance") { it.members.mapValues { (_, value) -> value.text } },
            schemaVersion = fields.int("schema_version", POSITIVE),
            sharedFacts = sharedFacts(json["prompt"], json["search"], json["graph"]),
        )
    }

    private fun files(value: JsonValue): Map<String, FileFact> = value.members.mapValues { (name, fact) ->
        val isPlain = name.isNotEmpty() && name.none { it == '/' || it == '\\' || it < ' ' }
        if (!isPlain || name == "." || name == ".." || name == BundleFile.MANIFEST) {
            throw JsonException("'$name' is no file of a bundle")
        }
        JsonFields.read(fact, "$name: ") {
            val sha256 = it.text("sha256")
            if (!Sha256.isHash(sha256)) throw JsonException("$name: sha256 is no SHA-256")
            FileFact(it.long("bytes"), sha256)
        }
    }

    private fun model(fields: JsonFields): ModelFacts {
        for (name in listOf("layers", "hidden", "heads", "kv_heads")) fields.int(name, POSITIVE)
        fields.required("ranks") { ranks -> ranks.members.values.forEach { it.int } }
        return ModelFacts(
            family = fields.text("family"),
            keepRatio = fields.required("keep_ratio") { it.double },
            precision = fields.text("precision"),
            parameters = fields.long("parameters"),
        )
    }

    private fun prompt(fields: JsonFields): PromptFacts {
        val found = PromptFacts(
            prefixIds = fields.ints("prefix_ids", NATURAL),
            separatorIds = fields.ints("separator_ids", NATURAL),
            suffixIds = fields.ints("suffix_ids", NATURAL),
            maxItems = fields.int("max_items", SIZE),
            codeSizes = fields.ints("code_sizes", SIZE),
            firstCodeToken = fields.int("first_code_token", NATURAL),
        )
        if (found.prefixIds.isEmpty()) throw JsonException("prefix_ids is empty; a token must stand first")
        if (found.levels !in 1..MOST_LEVELS) throw JsonException("code_sizes has ${found.levels} levels")
        return found
    }

    private fun search(fields: JsonFields): SearchFacts {
        val numBeams = fields.int("num_beams", SIZE)
        val topK = fields.int("top_k", 1..numBeams)
        fields.int("ahead", NATURAL)
        for ((name, known) in listOf("constraint" to listOf("trie"), "scoring" to listOf("codes", "vocab"))) {
            val value = fields.text(name)
            if (value !in known) throw JsonException("$name is '$value', which is none of ${known.joinToString()}")
        }
        return SearchFacts(numBeams, topK, fields.text("scoring"))
    }

    private fun graph(fields: JsonFields): GraphFacts {
        val form = fields.text("form")
        if (form !in Forms.names) throw JsonException("form is '$form', which is none of ${Forms.names.joinToString()}")
        val cacheSizes = fields.ints("kv_cache", SIZE)
        if (cacheSizes.size != 4) throw JsonException("kv_cache has ${cacheSizes.size} sizes; 4 were expected")
        fields.int("opset", POSITIVE)
        fields.int("prefix_tokens", NATURAL)
        val fixed = fields.optional("fixed") { value ->
            if (value === JsonNull) return@optional null
            JsonFields.read(value) { it.int("chunk", SIZE) to it.int("columns", SIZE) }
        }
        if ((fixed != null) != (form == Forms.STEPS)) throw JsonException("fixed does not fit form '$form'")
        val runtimeNeeded = fields.text("onnxruntime")
        if (RuntimeVersion.parse(runtimeNeeded) == null) throw JsonException("onnxruntime is '$runtimeNeeded'")
        return GraphFacts(
            form = form,
            runtimeNeeded = runtimeNeeded,
            embeddingRows = fields.ints("embedding_rows", NATURAL),
            cacheSizes = cacheSizes,
            prepack = fields.required("prepack") { it.boolean },
            chunk = fixed?.first ?: 0,
            columns = fixed?.second ?: 0,
        )
    }

    /** Returns what graph and manifest must say alike; a graph without `fixed` sizes says so with a null. */
    private fun sharedFacts(prompt: JsonValue, search: JsonValue, graph: JsonValue): JsonValue {
        val complete = JsonObject(mapOf("fixed" to JsonNull) + graph.members)
        return JsonObject(mapOf("prompt" to prompt, "search" to search, "graph" to complete))
    }
}
