package org.odllm.recommender

import java.io.File
import java.util.Collections

/**
 * What a bundle says of itself.
 *
 * @property folder where it lies.
 * @property name given at export.
 * @property items rows of the item table at opening; [Recommender.catalog] follows updates.
 * @property topK items that a call returns unless it asks for another number.
 * @property numBeams the most items that a call can return.
 * @property maxItems how many of a history's last items are read.
 * @property form of the graph: `loop`, `unrolled` or `steps`.
 * @property family of the model, such as `llama`.
 * @property precision of its weights, such as `fp32` or `int8-dynamic`.
 * @property parameters of the model.
 * @property keepRatio share of its matrices' parameters that compression kept; 1 for a dense model.
 * @property bytesOnDisk of all files.
 * @property expectedPeakMemoryBytes what opening and asking is expected to take.
 * @property schemaVersion of the manifest.
 * @property hasSelfTest whether [Recommender.selfTest] has something to ask.
 * @property provenance where it came from, as the export wrote it.
 */
public class BundleInfo internal constructor(manifest: Manifest) {
    public val folder: File = manifest.folder
    public val name: String = manifest.name
    public val items: Int = manifest.items
    public val topK: Int = manifest.search.topK
    public val numBeams: Int = manifest.search.numBeams
    public val maxItems: Int = manifest.prompt.maxItems
    public val form: String = manifest.form
    public val family: String = manifest.model.family
    public val precision: String = manifest.model.precision
    public val parameters: Long = manifest.model.parameters
    public val keepRatio: Double = manifest.model.keepRatio
    public val bytesOnDisk: Long =
        manifest.files.values.fold(manifest.file(BundleFile.MANIFEST).length()) { sum, fact -> sum + fact.bytes }
    public val expectedPeakMemoryBytes: Long = manifest.peakMemoryBytes
    public val schemaVersion: Int = manifest.schemaVersion
    public val hasSelfTest: Boolean = BundleFile.GOLDEN in manifest.files
    public val provenance: Map<String, String> = Collections.unmodifiableMap(manifest.provenance)

    override fun toString(): String = "$name: $items items, $form, $precision"

    public companion object {
        /**
         * Reads what a bundle says of itself, and nothing else of it: neither are its files checked nor is the runtime
         * loaded.
         *
         * @param bundle its folder.
         * @throws BundleException it has no manifest, a damaged one, or one that is too new.
         */
        @JvmStatic
        public fun read(bundle: File): BundleInfo = BundleInfo(ManifestReader.read(bundle))
    }
}
