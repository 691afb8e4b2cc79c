package org.odllm.demo.bundles

import android.content.res.AssetManager
import java.io.InputStream

/**
 * The files inside the app's package.
 *
 * @param assets reads them.
 */
class PackagedFiles(private val assets: AssetManager) : AssetTree {
    override fun list(path: String): List<String> = assets.list(path).orEmpty().asList()

    override fun open(path: String): InputStream = assets.open(path)
}
