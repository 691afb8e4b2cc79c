package org.odllm.recommender

import java.io.File
import java.io.FileOutputStream
import java.io.IOException

/**
 * A new catalogue for the model of a bundle that is on the device already: items come and go without the model.
 *
 * The update is a folder with the `manifest.json` of a bundle that `odllm catalog` changed, and those of its files that
 * differ from the installed ones: `catalog.bin`, `golden.json`, `MODEL_CARD.md`, and `items.jsonl` unless items were
 * only blocked.
 *
 * Its files are copied beside the bundle's and checked there. Renaming their folder is the moment from which on the
 * update counts; the files are then moved into place, and the next opening does that if the process died before. So the
 * bundle is the old one or the new one after every opening. For one process at a time.
 */
public object CatalogUpdate {
    private const val WRITING = ".update.writing"
    private const val READY = ".update"

    private val replaceable =
        setOf(BundleFile.CATALOG, BundleFile.ITEMS, BundleFile.GOLDEN, BundleFile.MODEL_CARD)

    /**
     * Installs an update in a bundle that is not open; [Recommender.updateCatalog] does it in one that is.
     *
     * @throws CatalogMismatchException it was made for another model.
     * @throws BundleException the bundle, or a file of the update, is missing, damaged or too new; the bundle has not
     *   changed.
     * @throws NotEnoughMemoryException the new items do not fit the app's heap; the bundle has not changed.
     * @throws RecommenderException the storage cannot be written; the bundle has not changed.
     */
    @JvmStatic
    public fun install(bundle: File, update: File): Unit = prepared(bundle, update, null) { it.commit() }

    /** An update that was copied and checked. */
    internal class Prepared(private val bundle: File, val content: BundleContent) {
        /** Makes the update count, and moves its files into place. */
        fun commit() {
            storing(bundle) { rename(File(bundle, WRITING), File(bundle, READY)) }
            try {
                rollForward(bundle)
            } catch (_: IOException) {
                // It counts already: the next opening moves what is left.
            }
        }
    }

    /**
     * Copies and checks an update, has it used, and tidies up.
     *
     * @param memory asked whether a second catalogue fits, if given.
     */
    internal fun <T> prepared(bundle: File, update: File, memory: MemorySource?, use: (Prepared) -> T): T =
        BundleLock.of(bundle) {
            recover(bundle)
            val installed = ManifestReader.read(bundle)
            val changed = changedFiles(installed, ManifestReader.read(update), update)
            checkMemory(installed, update, changed, memory)
            val staging = File(bundle, WRITING)
            try {
                storing(bundle) { copy(update, changed + BundleFile.MANIFEST, staging) }
                val manifest = ManifestReader.read(bundle, staging)
                // The update's folder may have been written to since: what counts is what was copied.
                if (changedFiles(installed, manifest, staging).toSet() != changed.toSet()) {
                    mismatch(installed, "$update was written to while it was installed")
                }
                val content = BundleContent.read(manifest) { File(if (it in changed) staging else bundle, it) }
                use(Prepared(bundle, content))
            } finally {
                staging.deleteRecursively()
            }
        }

    /** Finishes an update during which the process died, or undoes it where it did not count yet. */
    internal fun recover(bundle: File) {
        if (!File(bundle, READY).exists() && !File(bundle, WRITING).exists()) return
        storing(bundle) {
            if (File(bundle, READY).exists()) rollForward(bundle)
            File(bundle, WRITING).deleteRecursively()
        }
    }

    /** Returns the files that differ, each of which was found whole in the folder [update]. */
    private fun changedFiles(installed: Manifest, new: Manifest, update: File): List<String> {
        if (new.sharedFacts != installed.sharedFacts) {
            mismatch(installed, "$update has another prompt, search or graph than ${installed.folder}")
        }
        val changed = new.files.keys.filter { new.files[it] != installed.files[it] }
        val others = (changed + (installed.files.keys - new.files.keys)).filter { it !in replaceable }
        if (others.isNotEmpty()) {
            val what = "it has another ${others.first()}"
            mismatch(installed, "$update was made for another model than ${installed.folder}: $what")
        }
        BundleChecks.checkFiles(new, changed, update)
        return changed
    }

    private fun checkMemory(installed: Manifest, update: File, changed: List<String>, memory: MemorySource?) {
        val free = memory?.availableBytes() ?: return
        val needed = changed.fold(0L) { sum, name -> sum + File(update, name).length() }
        if (free < 0 || needed <= free) return
        throw NotEnoughMemoryException(
            needed,
            free,
            "the new catalogue of '${installed.name}' needs about ${needed shr 20} MiB beside the old one, and " +
                "${free shr 20} MiB are free. Close other apps, or install it when the bundle is not open.",
        )
    }

    private fun copy(from: File, names: List<String>, to: File) {
        to.deleteRecursively()
        if (!to.mkdir()) throw IOException("cannot create $to")
        for (name in names) {
            FileOutputStream(File(to, name)).use { out ->
                File(from, name).inputStream().use { it.copyTo(out) }
                out.fd.sync()
            }
        }
    }

    /** The manifest goes last: where it is in place, all are. */
    private fun rollForward(bundle: File) {
        val ready = File(bundle, READY)
        val names = ready.list().orEmpty().sortedBy { it == BundleFile.MANIFEST }
        for (name in names) rename(File(ready, name), File(bundle, name))
        ready.deleteRecursively()
    }

    private fun rename(from: File, to: File) {
        if (!from.renameTo(to)) throw IOException("cannot rename $from to $to")
    }

    private fun <T> storing(bundle: File, work: () -> T): T = try {
        work()
    } catch (error: IOException) {
        throw RecommenderException(
            "the update of $bundle cannot be written: ${error.message}. Free some storage and install it again.",
            error,
        )
    }

    private fun mismatch(installed: Manifest, what: String): Nothing =
        throw CatalogMismatchException(installed.folder, "$what. Install the whole bundle, or an update for this one.")
}
