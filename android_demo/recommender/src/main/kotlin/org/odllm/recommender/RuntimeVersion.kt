package org.odllm.recommender

/** A version of ONNX Runtime, as far as it is compared: `1.24` or `1.24.1`. */
internal data class RuntimeVersion(val major: Int, val minor: Int) : Comparable<RuntimeVersion> {
    override fun compareTo(other: RuntimeVersion): Int = compareValuesBy(this, other, { it.major }, { it.minor })

    companion object {
        private val FORM = Regex("(\\d{1,6})\\.(\\d{1,6})(\\.\\d+)?")

        /** Returns null where a text is no version. */
        fun parse(text: String): RuntimeVersion? {
            val parts = FORM.matchEntire(text)?.groupValues ?: return null
            return RuntimeVersion(parts[1].toInt(), parts[2].toInt())
        }
    }
}
