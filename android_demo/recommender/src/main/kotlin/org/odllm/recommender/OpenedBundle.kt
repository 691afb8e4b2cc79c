package org.odllm.recommender

import java.io.File

/** What of a bundle an update replaces. */
internal class BundleContent(val manifest: Manifest, val catalog: Catalog) {
    companion object {
        /**
         * Reads catalogue and item table, and checks that they, the prompt and one another fit.
         *
         * @param file where a file of the bundle lies, by its name.
         */
        fun read(manifest: Manifest, file: (String) -> File = manifest::file): BundleContent = try {
            val arrays = CatalogReader(manifest.folder, file(BundleFile.CATALOG)).read()
            BundleChecks.checkCatalog(manifest, arrays, file(BundleFile.CATALOG))
            val items = ItemTableReader(manifest.folder, file(BundleFile.ITEMS), arrays).read()
            BundleContent(manifest, Catalog(arrays, items))
        } catch (_: OutOfMemoryError) {
            val runtime = Runtime.getRuntime()
            val needed = manifest.files.getValue(BundleFile.ITEMS).bytes * 2
            val free = runtime.maxMemory() - runtime.totalMemory() + runtime.freeMemory()
            throw NotEnoughMemoryException(
                needed,
                free,
                "the ${manifest.items} items of '${manifest.name}' do not fit the app's heap, of which " +
                    "${free shr 20} MiB are free. Ask for a large heap in the app's manifest, or install fewer items.",
            )
        }
    }
}

/** A bundle that was checked, read, and opened in the runtime, in the order of docs/bundle.md. */
internal class OpenedBundle private constructor(
    val content: BundleContent,
    val engine: Engine,
    val provider: ProviderReport,
) {
    companion object {
        fun open(folder: File, options: RecommenderOptions): OpenedBundle {
            val content = BundleLock.of(folder) {
                CatalogUpdate.recover(folder)
                val manifest = ManifestReader.read(folder)
                BundleChecks.checkRuntime(manifest, RecommenderRuntime.version)
                BundleChecks.checkFiles(manifest, hashes = options.verifyFiles)
                BundleChecks.checkMemory(manifest, options.availableMemory)
                BundleContent.read(manifest)
            }
            val opened = Engines(content.manifest, content.catalog.arrays, options).open()
            return OpenedBundle(content, opened.engine, opened.provider)
        }
    }
}
