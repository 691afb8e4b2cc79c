package org.odllm.demo.bundles

import java.io.IOException
import java.io.InputStream
import java.util.zip.ZipException
import java.util.zip.ZipInputStream
import org.odllm.demo.recommend.ProblemKind

/** Something a bundle can be copied from. */
fun interface BundleSource {
    /** Hand every file to `copy`; throws an `IOException` or an [ImportException]. */
    fun copyTo(copy: BoundedCopy)
}

/** A file in a folder that the user chose. */
class SourceFile(val name: String, val open: () -> InputStream)

/**
 * A folder; folders within it are left alone.
 *
 * @param files lists it.
 */
class FolderSource(private val files: () -> List<SourceFile>) : BundleSource {
    override fun copyTo(copy: BoundedCopy) {
        val found = files()
        if (found.none { it.name == MANIFEST }) {
            throw ImportException(ProblemKind.NOT_A_BUNDLE, "The folder has no $MANIFEST.")
        }
        for (file in found.filter { !it.name.startsWith(".") }) file.open().use { copy.write(file.name, it) }
    }
}

/**
 * A ZIP file with the bundle's files at its top or in one folder.
 *
 * @param open opens it.
 */
class ZipSource(private val open: () -> InputStream) : BundleSource {
    override fun copyTo(copy: BoundedCopy) {
        try {
            ZipInputStream(open().buffered()).use { zip -> copyEntries(zip, copy) }
        } catch (failure: ZipException) {
            if (failure.cause is IllegalArgumentException) throw misnamed() // as newer Javas have it
            throw IOException("The ZIP file is damaged (${failure.message}): fetch it again.", failure)
        } catch (_: IllegalArgumentException) { // as Android and older Javas have it
            throw misnamed()
        }
    }

    private fun copyEntries(zip: ZipInputStream, copy: BoundedCopy) {
        var folder: String? = null
        var hasManifest = false
        while (true) {
            val path = (zip.nextEntry ?: break).name
            if (path.endsWith("/") || isOfTheArchiver(path)) continue
            val inside = path.substringBeforeLast('/', "")
            if (folder != null && inside != folder) throw unsafe(path, "it is in another folder than the rest.")
            if (path.startsWith("/") || !isPlain(inside)) {
                throw unsafe(path, "it leads out of the folder or deep into it.")
            }
            folder = inside
            val name = path.substringAfterLast('/')
            hasManifest = hasManifest || name == MANIFEST
            copy.write(name, zip)
        }
        if (!hasManifest) throw ImportException(ProblemKind.NOT_A_BUNDLE, "The ZIP file has no $MANIFEST.")
    }
}

private fun isPlain(folder: String): Boolean = folder != ".." && folder != "." && '/' !in folder && '\\' !in folder

/** What macOS adds to archives by itself. */
private fun isOfTheArchiver(path: String): Boolean =
    path.startsWith("__MACOSX/") || path.substringAfterLast('/') == ".DS_Store"

private fun misnamed() = ImportException(
    ProblemKind.UNSAFE_ARCHIVE,
    "A name in the ZIP file is not UTF-8: give the folder a plain name and make the ZIP file again.",
)

private fun unsafe(path: String, why: String) = ImportException(ProblemKind.UNSAFE_ARCHIVE, "\"$path\": $why")
