package org.odllm.recommender

import ai.onnxruntime.OrtEnvironment
import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtLoggingLevel
import ai.onnxruntime.OrtProvider

/** ONNX Runtime, as the app brought it along. */
public object RecommenderRuntime {
    /**
     * Its version, such as `1.29.0`.
     *
     * @throws InferenceException its libraries cannot be loaded.
     */
    @JvmStatic
    public val version: String get() = environment.version

    /**
     * The providers that this build of it has. Whether one finds a device only opening a bundle tells.
     *
     * @throws InferenceException its libraries cannot be loaded.
     */
    @JvmStatic
    public val availableProviders: Set<Provider>
        get() = Provider.values().filterTo(LinkedHashSet()) { Providers.whyNot(it) == null }

    /** The process's environment. Reports to the runtime's maker are off before anything else happens in it. */
    internal val environment: OrtEnvironment by lazy {
        guarded {
            val made = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_FATAL, "odllm")
            made.also { it.setTelemetry(false) }
        }
    }

    internal fun builtIn(): Set<OrtProvider> {
        environment
        return guarded { OrtEnvironment.getAvailableProviders() }
    }

    private fun <T> guarded(load: () -> T): T = try {
        load()
    } catch (error: LinkageError) {
        throw InferenceException(
            "ONNX Runtime cannot be loaded: ${error.message}. Add com.microsoft.onnxruntime:onnxruntime-android to " +
                "the app, with the native libraries of this device's ABI.",
            error,
        )
    } catch (error: OrtException) {
        throw InferenceException("ONNX Runtime cannot start: ${error.message}", error)
    }
}
