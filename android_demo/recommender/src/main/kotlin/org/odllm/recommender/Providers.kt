package org.odllm.recommender

import ai.onnxruntime.OrtProvider
import ai.onnxruntime.OrtSession

/**
 * Whether a provider can be asked for, and how. Asked for one that it lacks, the runtime silently computes on the CPU.
 */
internal object Providers {
    private val runtimeNames = mapOf(
        Provider.CPU to OrtProvider.CPU,
        Provider.XNNPACK to OrtProvider.XNNPACK,
        Provider.NNAPI to OrtProvider.NNAPI,
        Provider.WEBGPU to OrtProvider.WEBGPU,
        Provider.QNN to OrtProvider.QNN,
    )

    /** Returns why a provider cannot be asked for, or null where it can. */
    fun whyNot(provider: Provider): String? {
        if (runtimeNames.getValue(provider) !in RecommenderRuntime.builtIn()) {
            return "this build of ONNX Runtime ${RecommenderRuntime.version} has no ${provider.name}"
        }
        // The runtime does not ask whether NNAPI is there: where it is not, it takes the process down.
        if (provider == Provider.NNAPI && !Nnapi.isHere) {
            return "NNAPI is not on this device; it needs Android 8.1 (SDK 27) or later with libneuralnetworks.so"
        }
        return null
    }

    /** Adds a provider to the options of a graph that is about to be opened. */
    fun add(options: OrtSession.SessionOptions, provider: Provider, threads: Int) {
        when (provider) {
            Provider.CPU -> Unit
            Provider.XNNPACK -> options.addXnnpack(mapOf("intra_op_num_threads" to threads.toString()))
            Provider.NNAPI -> options.addNnapi()
            Provider.WEBGPU -> options.addWebGPU(emptyMap())
            Provider.QNN -> options.addQnn(
                mapOf("backend_path" to "libQnnHtp.so", "enable_htp_fp16_precision" to "1"),
            )
        }
    }
}

/**
 * Is NNAPI on this system? Its library came with SDK 27; a system without it ends the process that asks the runtime.
 */
internal object Nnapi {
    private const val LIBRARY = "neuralnetworks"

    val isHere: Boolean by lazy {
        try {
            System.loadLibrary(LIBRARY)
            true
        } catch (_: UnsatisfiedLinkError) {
            false
        }
    }
}
