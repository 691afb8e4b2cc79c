package org.odllm.demo.bundles

import java.io.File
import java.io.IOException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.demo.MapAssets

class ShippedBundlesTest {
    @get:Rule
    val folder = TemporaryFolder()

    private lateinit var store: BundleStore

    @Before
    fun makeStore() {
        store = BundleStore(File(folder.root, "bundles"))
    }

    private fun install(version: String, vararg files: Pair<String, String>) =
        ShippedBundles(MapAssets(mapOf(*files)), store, File(folder.root, "copied"), version).install()

    private val graph get() = File(store.list().single().folder, "graph")

    @Test
    fun `bundles are copied whole`() {
        install("1", "bundles/a/$MANIFEST" to "m", "bundles/a/graph" to "g", "bundles/README" to "no bundle")
        assertEquals("shipped/a", store.list().single().key)
        assertEquals("g", graph.readText())
        assertEquals(0, File(folder.root, "bundles/staging").list()!!.size)
    }

    @Test
    fun `they are copied once`() {
        val files = arrayOf("bundles/a/$MANIFEST" to "m", "bundles/a/graph" to "g")
        install("1", *files)
        graph.writeText("left alone")
        install("1", *files)
        assertEquals("left alone", graph.readText())
    }

    @Test
    fun `another version or manifest is copied again`() {
        install("1", "bundles/a/$MANIFEST" to "m", "bundles/a/graph" to "g1")
        install("2", "bundles/a/$MANIFEST" to "m", "bundles/a/graph" to "g2")
        assertEquals("g2", graph.readText())
        install("2", "bundles/a/$MANIFEST" to "n", "bundles/a/graph" to "g3")
        assertEquals("g3", graph.readText())
    }

    @Test
    fun `a copy that is gone is made again`() {
        install("1", "bundles/a/$MANIFEST" to "m")
        store.delete(store.list().single())
        install("1", "bundles/a/$MANIFEST" to "m")
        assertEquals(1, store.list().size)
    }

    @Test
    fun `what the app no longer brings goes and what its user brought stays`() {
        install("1", "bundles/a/$MANIFEST" to "m")
        val staged = store.stage()
        File(staged, MANIFEST).writeText("mine")
        val mine = store.add(staged, "a")
        install("2")
        assertEquals(listOf(mine), store.list().map { it.key })
    }

    @Test
    fun `a copy that fails leaves no half bundle`() {
        val broken = object : AssetTree by MapAssets(mapOf("bundles/a/$MANIFEST" to "m")) {
            override fun list(path: String) = if (path == "bundles") listOf("a") else listOf(MANIFEST, "missing")
        }
        val shipped = ShippedBundles(broken, store, File(folder.root, "copied"), "1")
        assertThrows(IOException::class.java) { shipped.install() }
        assertTrue(store.list().isEmpty())
        store.sweep()
        assertEquals(0L, bytesIn(File(folder.root, "bundles")))
    }

    @Test
    fun `names are made plain`() {
        val keys = listOf("my films/é:1", "..", "").map { name ->
            val staged = store.stage()
            File(staged, MANIFEST).writeText("m")
            store.add(staged, name)
        }
        assertEquals(listOf("loaded/my-films-é-1", "loaded/bundle", "loaded/bundle-2"), keys)
    }
}
