package org.odllm.demo.bundles

import java.io.File
import java.io.InputStream
import java.security.MessageDigest

/** Files inside the app. */
interface AssetTree {
    /** Return the names in a folder; none for a file. */
    fun list(path: String): List<String>

    /** Open a file; throws an `IOException`. */
    fun open(path: String): InputStream
}

/**
 * The bundles that came with the app, `bundles/NAME` among its files, copied to where they can be opened by path: the
 * runtime maps the weights, which it cannot do inside the app's package.
 *
 * They are copied once, and again when the app's version or a bundle's manifest is another.
 *
 * @param stamps remembers what was copied, one file a bundle.
 * @param version of the app.
 */
class ShippedBundles(
    private val assets: AssetTree,
    private val store: BundleStore,
    private val stamps: File,
    private val version: String,
) {
    /** Copy what is new and remove what the app no longer brings. */
    fun install() {
        val names = assets.list(FOLDER).filter { MANIFEST in assets.list("$FOLDER/$it") }
        val present = store.list().filter { it.origin == Origin.SHIPPED }
        present.filter { it.name !in names }.forEach(store::delete)
        for (name in names) {
            val stamp = "$version ${manifestHash(name)}"
            val stampFile = File(stamps.apply { mkdirs() }, name)
            if (present.any { it.name == name } && stampFile.isFile && stampFile.readText() == stamp) continue
            stampFile.delete()
            store.place(copied(name), name)
            stampFile.writeText(stamp)
        }
    }

    private fun copied(name: String): File {
        val folder = store.stage()
        for (file in assets.list("$FOLDER/$name")) {
            assets.open("$FOLDER/$name/$file").use { from -> File(folder, file).outputStream().use { from.copyTo(it) } }
        }
        return folder
    }

    private fun manifestHash(name: String): String {
        val bytes = assets.open("$FOLDER/$name/$MANIFEST").use { it.readBytes() }
        return MessageDigest.getInstance("SHA-256").digest(bytes).joinToString("") { "%02x".format(it) }
    }
}

private const val FOLDER = "bundles"
