package org.odllm.recommender

/**
 * How a bundle is opened. In Java as in Kotlin:
 *
 * ```
 * RecommenderOptions.builder().threads(2).provider(Provider.XNNPACK).build()
 * ```
 *
 * @property threads that compute; they never spin while they wait.
 * @property provider what computes.
 * @property requireProvider throw where the provider cannot be used, instead of running on the CPU with a reported
 *   reason.
 * @property availableMemory asked before anything is loaded; null: the bundle is opened whatever it needs.
 * @property verifyFiles compare every file's SHA-256, which reads the whole bundle once. Sizes are compared either way.
 *   Without it a damaged graph can end the process inside the runtime, instead of being refused in words.
 * @property useArena keep freed activations for the next call.
 * @property prepackWeights repack the weights at opening: calls are faster, and the weights are in memory instead of
 *   mapped from the file. Null: as the manifest says.
 */
public class RecommenderOptions private constructor(builder: Builder) {
    public val threads: Int = builder.threads
    public val provider: Provider = builder.provider
    public val requireProvider: Boolean = builder.requireProvider
    public val availableMemory: MemorySource? = builder.availableMemory
    public val verifyFiles: Boolean = builder.verifyFiles
    public val useArena: Boolean = builder.useArena
    public val prepackWeights: Boolean? = builder.prepackWeights

    /** Where the runtime writes its profile, of the benchmark. */
    internal val profilePrefix: String? = builder.profilePrefix

    /** Sets options one by one; each of them returns the builder. */
    public class Builder internal constructor() {
        internal var threads: Int = 1
        internal var provider: Provider = Provider.CPU
        internal var requireProvider: Boolean = false
        internal var availableMemory: MemorySource? = ProcMemory
        internal var verifyFiles: Boolean = true
        internal var useArena: Boolean = true
        internal var prepackWeights: Boolean? = null
        internal var profilePrefix: String? = null

        /**
         * Sets how many threads compute.
         *
         * @throws InvalidRequestException fewer than one.
         */
        public fun threads(threads: Int): Builder = apply {
            if (threads < 1) throw InvalidRequestException("threads is $threads; at least one computes")
            this.threads = threads
        }

        /** Sets what computes. */
        public fun provider(provider: Provider): Builder = apply { this.provider = provider }

        /** Sets whether another provider than the CPU must be usable. */
        public fun requireProvider(require: Boolean): Builder = apply { requireProvider = require }

        /** Sets who tells the free memory; null: nobody is asked. */
        public fun availableMemory(source: MemorySource?): Builder = apply { availableMemory = source }

        /** Sets whether every SHA-256 is compared. */
        public fun verifyFiles(verify: Boolean): Builder = apply { verifyFiles = verify }

        /** Sets whether freed activations are kept. */
        public fun useArena(use: Boolean): Builder = apply { useArena = use }

        /** Sets whether weights are repacked; null: as the manifest says. */
        public fun prepackWeights(prepack: Boolean?): Builder = apply { prepackWeights = prepack }

        internal fun profilePrefix(prefix: String?): Builder = apply { profilePrefix = prefix }

        /** Returns the options as set so far. */
        public fun build(): RecommenderOptions = RecommenderOptions(this)
    }

    public companion object {
        /** One thread on the CPU, everything checked. */
        @JvmField
        public val DEFAULT: RecommenderOptions = Builder().build()

        /** Returns a builder that begins with the defaults. */
        @JvmStatic
        public fun builder(): Builder = Builder()
    }
}
