package org.odllm.demo.bundles

import java.io.File
import java.io.IOException
import java.util.UUID

/** Every bundle has one; a folder without it is none. */
const val MANIFEST = "manifest.json"

/** Where a bundle came from. */
enum class Origin(val folder: String) { SHIPPED("shipped"), LOADED("loaded") }

/**
 * A bundle on this device.
 *
 * @property key tells it from all others, and stays.
 * @property bytes of its files.
 * @property precision of its weights, or null where its manifest does not say.
 */
data class StoredBundle(
    val key: String,
    val name: String,
    val origin: Origin,
    val folder: File,
    val bytes: Long,
    val precision: String? = null,
)

/**
 * The bundles in the app's own storage: `shipped/NAME`, copied out of the app, and `loaded/NAME`, brought by its user.
 * A bundle appears whole or not at all: it is written under `staging` and renamed.
 *
 * @param root the folder that the store has to itself.
 * @param precisionOf reads the precision in a folder's manifest.
 */
class BundleStore(private val root: File, private val precisionOf: (File) -> String? = { null }) {
    private val staging = File(root, "staging")

    /** Bytes that may still be written. */
    val usableBytes: Long get() = root.apply { mkdirs() }.usableSpace

    /** Return what is there, by name, the app's own first. */
    fun list(): List<StoredBundle> = Origin.values().flatMap { origin ->
        folders(File(root, origin.folder)).filter { File(it, MANIFEST).isFile }.sortedBy { it.name }.map { folder ->
            val key = "${origin.folder}/${folder.name}"
            StoredBundle(key, folder.name, origin, folder, bytesIn(folder), precisionOf(folder))
        }
    }

    /** Return a fresh folder to write a bundle into. */
    fun stage(): File {
        val folder = File(staging, UUID.randomUUID().toString())
        if (!folder.mkdirs()) throw IOException("${folder.parent} cannot be written: free some storage.")
        return folder
    }

    /** Take a staged folder in as the app's own; it replaces the one of that name. */
    fun place(staged: File, name: String) = move(staged, File(File(root, Origin.SHIPPED.folder), name))

    /** Take a staged folder in as its user's, under a name that is still free, and return its key. */
    fun add(staged: File, name: String): String {
        val plain = name.map { if (it.isLetterOrDigit() || it in "-_.") it else '-' }.joinToString("").trim('.', '-')
        val wanted = plain.take(LONGEST_NAME).ifEmpty { "bundle" }
        val names = generateSequence(2) { it + 1 }.map { "$wanted-$it" }
        val free = (sequenceOf(wanted) + names).first { !File(File(root, Origin.LOADED.folder), it).exists() }
        move(staged, File(File(root, Origin.LOADED.folder), free))
        return "${Origin.LOADED.folder}/$free"
    }

    /** Remove a bundle. It is gone from the list at once, even if the app ends in between. */
    fun delete(bundle: StoredBundle) {
        val doomed = stage()
        move(bundle.folder, File(doomed, bundle.name))
        doomed.deleteRecursively()
    }

    /** Remove what an app that was ended left half written. */
    fun sweep() {
        staging.deleteRecursively()
    }

    private fun move(from: File, to: File) {
        to.parentFile?.mkdirs()
        if (to.exists()) delete(StoredBundle("", to.name, Origin.SHIPPED, to, 0))
        if (!from.renameTo(to)) throw IOException("$from cannot be moved to $to: free some storage and try again.")
    }
}

/** Return the bytes of all files below a folder. */
fun bytesIn(folder: File): Long = folder.walkTopDown().filter { it.isFile }.map { it.length() }.sum()

private const val LONGEST_NAME = 64

private fun folders(parent: File): List<File> = parent.listFiles { file -> file.isDirectory }.orEmpty().toList()
