package org.odllm.recommender

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtException.OrtErrorCode
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtSession
import ai.onnxruntime.TensorInfo
import java.io.File

/** Opens a graph of a bundle by path, so that its weights stay mapped, and checks that it is the manifest's. */
internal class GraphSession(
    private val manifest: Manifest,
    private val options: RecommenderOptions,
    private val provider: Provider,
) {
    /**
     * Opens a graph by the name of its file.
     *
     * @throws OrtException the runtime cannot open it with this provider.
     * @throws BundleDamagedException it is not the graph that the manifest speaks of.
     */
    fun open(name: String): OrtSession {
        val file = manifest.file(name)
        val session = sessionOptions(name).use { RecommenderRuntime.environment.createSession(file.path, it) }
        try {
            checkFacts(session, file)
            if (manifest.form != Forms.STEPS) checkInputs(session, file)
            return session
        } catch (error: Throwable) {
            session.close()
            throw error
        }
    }

    private fun sessionOptions(name: String): OrtSession.SessionOptions {
        val made = OrtSession.SessionOptions()
        try {
            made.setIntraOpNumThreads(options.threads)
            made.setInterOpNumThreads(1)
            made.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL)
            made.addConfigEntry("session.intra_op.allow_spinning", "0")
            // Sums in between overflow without exact products; this asks for exact ones. Where several products share a
            // matrix, as in form `unrolled`, the runtime cannot do it and fails.
            if (manifest.form != Forms.UNROLLED && !Processor.hasExactProducts) {
                made.addConfigEntry("session.x64quantprecision", "1")
            }
            made.setCPUArenaAllocator(options.useArena)
            val prepacks = options.prepackWeights ?: manifest.graph.prepack
            if (!prepacks) made.addConfigEntry("session.disable_prepacking", "1")
            options.profilePrefix?.let { made.enableProfiling("${it}_${name.substringBeforeLast('.')}") }
            Providers.add(made, provider, options.threads)
            return made
        } catch (error: Throwable) {
            made.close()
            throw error
        }
    }

    /** A manifest has no hash of its own: what it says of prompt, search and cache must stand in the graph, too. */
    private fun checkFacts(session: OrtSession, file: File) {
        val facts = session.metadata.customMetadata[FACTS] ?: "null"
        val found = try {
            Json.parse(facts)
        } catch (error: JsonException) {
            throw damaged(file, "has facts about itself that are damaged: ${error.message}")
        }
        if (found != manifest.sharedFacts) {
            throw damaged(file, "was made for another prompt, search or cache than its manifest says")
        }
    }

    /** Checks that a whole recommender's graph takes what it will be given and returns what will be read. */
    private fun checkInputs(session: OrtSession, file: File) {
        val inputs = session.inputInfo.mapValues { (_, node) -> (node.info as? TensorInfo)?.type }
        val outputs = session.outputInfo.mapValues { (_, node) -> (node.info as? TensorInfo)?.type }
        val wrong = (INPUTS.keys + inputs.keys).filter { INPUTS[it] != inputs[it] } +
            RESULTS.keys.filter { RESULTS[it] != outputs[it] }
        if (wrong.isNotEmpty()) {
            throw damaged(file, "has other inputs or outputs than a bundle's graph: ${wrong.sorted().joinToString()}")
        }
    }

    private fun damaged(file: File, what: String) =
        BundleDamagedException(manifest.folder, file, "$file $what. $AGAIN")

    companion object {
        private const val FACTS = "odllm.facts"

        private val INPUTS = mapOf(
            "history" to OnnxJavaType.INT64,
            "blocked" to OnnxJavaType.INT64,
            "kv_cache" to OnnxJavaType.FLOAT,
            "cached_tokens" to OnnxJavaType.INT64,
            "return_cache" to OnnxJavaType.BOOL,
        ) + listOf("child_start", "node_code", "live_items", "item_path", "item_order", "level_width")
            .associateWith { OnnxJavaType.INT32 }

        private val RESULTS = mapOf(
            "items" to OnnxJavaType.INT64,
            "scores" to OnnxJavaType.FLOAT,
            "next_kv_cache" to OnnxJavaType.FLOAT,
        )

        /** Returns what it means that the runtime could not open a graph. */
        fun refusal(manifest: Manifest, error: OrtException): RecommenderException {
            val words = "ONNX Runtime ${RecommenderRuntime.version} cannot open ${manifest.folder}: ${error.message}"
            val graph = manifest.file(manifest.graphs.first())
            return when (error.code) {
                OrtErrorCode.ORT_RUNTIME_EXCEPTION, OrtErrorCode.ORT_ENGINE_ERROR, OrtErrorCode.ORT_EP_FAIL ->
                    InferenceException("$words. Close other apps and open it again, or install it anew.", error)
                else -> BundleDamagedException(manifest.folder, graph, "$words. $AGAIN", error)
            }
        }
    }
}
