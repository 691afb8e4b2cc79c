package org.odllm.recommender

import ai.onnxruntime.OrtException

/** Opens the engine of a bundle's form with the provider that was asked for, or with the CPU where that cannot be. */
internal class Engines(
    private val manifest: Manifest,
    private val catalog: CatalogArrays,
    private val options: RecommenderOptions,
) {
    /** What was opened, and with which provider. */
    class Opened(val engine: Engine, val provider: ProviderReport)

    /** @throws RecommenderException the graphs cannot be opened. */
    fun open(): Opened {
        val asked = options.provider
        val whyNot = Providers.whyNot(asked) ?: whyNotHere(asked) ?: try {
            return Opened(engine(asked), ProviderReport(asked, asked, null))
        } catch (error: OrtException) {
            if (asked == Provider.CPU) throw GraphSession.refusal(manifest, error)
            "ONNX Runtime cannot open the bundle with it: ${error.message}"
        }
        if (options.requireProvider) {
            throw ProviderUnavailableException(
                asked,
                "provider ${asked.optionName} cannot be used: $whyNot. Take another one, or do not require it.",
            )
        }
        try {
            return Opened(engine(Provider.CPU), ProviderReport(asked, Provider.CPU, whyNot))
        } catch (error: OrtException) {
            throw GraphSession.refusal(manifest, error)
        }
    }

    /** Returns why a provider that is there cannot run this form: it would open it, and fail in every call. */
    private fun whyNotHere(provider: Provider): String? {
        if (provider != Provider.XNNPACK || manifest.form != Forms.STEPS) return null
        return "ONNX Runtime's XNNPACK fails in form steps"
    }

    private fun engine(provider: Provider): Engine {
        val graphs = GraphSession(manifest, options, provider)
        return when (manifest.form) {
            Forms.STEPS -> StepsEngine.open(manifest, catalog, graphs)
            else -> {
                val session = graphs.open(manifest.graphs.single())
                try {
                    LoopEngine(manifest, catalog, session)
                } catch (error: Throwable) {
                    session.close()
                    throw error
                }
            }
        }
    }
}
