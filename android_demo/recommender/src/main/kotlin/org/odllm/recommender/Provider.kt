package org.odllm.recommender

/**
 * What of a phone computes. Whatever a provider does not take runs on the CPU, and much of a graph may; `odllm check`
 * tells what to expect. Only a measurement on the phone says whether one is faster than the CPU.
 *
 * @property optionName its name on `odllm`'s command line.
 */
public enum class Provider(public val optionName: String) {
    /** ONNX Runtime's own kernels. */
    CPU("cpu"),

    /** XNNPACK's kernels on the CPU: float32 products only. */
    XNNPACK("xnnpack"),

    /** Android's neural networks API: from SDK 27 on, deprecated since 35. For bundles of form `steps`. */
    NNAPI("nnapi"),

    /** The graphics processor. */
    WEBGPU("webgpu"),

    /** Qualcomm's NPU, with ONNX Runtime's package for it. For bundles of form `steps`. */
    QNN("qnn"),
    ;

    public companion object {
        /**
         * Returns a provider by its name on `odllm`'s command line.
         *
         * @throws InvalidRequestException there is none of that name.
         */
        @JvmStatic
        public fun named(optionName: String): Provider = values().firstOrNull { it.optionName == optionName }
            ?: throw InvalidRequestException(
                "provider '$optionName' is none of ${values().joinToString { it.optionName }}",
            )
    }
}

/**
 * With which provider a bundle was opened.
 *
 * @property asked the one of the options.
 * @property used the same, or the CPU.
 * @property fallbackReason why it is another one; null where it is not.
 */
public class ProviderReport internal constructor(
    public val asked: Provider,
    public val used: Provider,
    public val fallbackReason: String?,
) {
    override fun toString(): String =
        used.optionName + if (fallbackReason == null) "" else " instead of ${asked.optionName}: $fallbackReason"
}
