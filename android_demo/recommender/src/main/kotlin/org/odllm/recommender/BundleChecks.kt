package org.odllm.recommender

import java.io.File
import java.io.IOException

/** The checks of a bundle's files before anything is loaded (docs/bundle.md, "Opening"). */
internal object BundleChecks {
    /** Refuses a runtime that is too old, before it fails in the middle of the first call. */
    fun checkRuntime(manifest: Manifest, installed: String) {
        val needed = RuntimeVersion.parse(manifest.graph.runtimeNeeded)
        val found = RuntimeVersion.parse(installed.substringBefore('-'))
        if (needed != null && found != null && found < needed) {
            throw BundleTooNewException(
                manifest.folder,
                "${manifest.folder} needs ONNX Runtime ${manifest.graph.runtimeNeeded} or later; the app has " +
                    "$installed. Update the app's dependency on it.",
            )
        }
    }

    /** Refuses a bundle that needs more memory than is free. */
    fun checkMemory(manifest: Manifest, source: MemorySource?) {
        val free = source?.availableBytes() ?: return
        val needed = manifest.peakMemoryBytes
        if (free < 0 || needed <= free) return
        throw NotEnoughMemoryException(
            needed,
            free,
            "'${manifest.name}' needs about ${needed shr 20} MiB at its peak and ${free shr 20} MiB are free. " +
                "Close other apps, or install a bundle with a smaller keep ratio or precision.",
        )
    }

    /**
     * Compares files with what the manifest says of them, all sizes first because they cost nothing.
     *
     * @param names which of the manifest's files.
     * @param folder where they lie.
     * @param hashes whether their SHA-256 is compared, too.
     */
    fun checkFiles(
        manifest: Manifest,
        names: Collection<String> = manifest.files.keys,
        folder: File = manifest.folder,
        hashes: Boolean = true,
    ) {
        for (name in names) checkSize(manifest, File(folder, name), manifest.files.getValue(name))
        if (!hashes) return
        for (name in names) {
            val file = File(folder, name)
            val expected = manifest.files.getValue(name).sha256
            if (hash(manifest, file) != expected) {
                damaged(manifest, file, "$file is damaged: its SHA-256 is not the manifest's ${expected.take(12)}…")
            }
        }
    }

    /** Checks that a catalogue has the code sizes that the model speaks, and the manifest's number of items. */
    fun checkCatalog(manifest: Manifest, catalog: CatalogArrays, file: File) {
        val sizes = manifest.prompt.codeSizes
        if (!catalog.codeSizes.contentEquals(sizes)) {
            damaged(manifest, file, "$file has code sizes ${catalog.codeSizes.toList()}, the model ${sizes.toList()}")
        }
        if (catalog.items != manifest.items) {
            damaged(manifest, file, "$file has ${catalog.items} items, the manifest says ${manifest.items}")
        }
    }

    private fun checkSize(manifest: Manifest, file: File, fact: FileFact) {
        if (!file.isFile) damaged(manifest, file, "${file.parent} lacks ${file.name}, which its manifest names")
        val bytes = file.length()
        if (bytes != fact.bytes) damaged(manifest, file, "$file has $bytes bytes, the manifest says ${fact.bytes}")
    }

    private fun hash(manifest: Manifest, file: File): String = try {
        Sha256.of(file)
    } catch (error: IOException) {
        damaged(manifest, file, "$file cannot be read: ${error.message}", error)
    }

    private fun damaged(manifest: Manifest, file: File, what: String, cause: Throwable? = null): Nothing =
        throw BundleDamagedException(manifest.folder, file, "$what. $AGAIN", cause)
}
