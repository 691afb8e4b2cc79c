package org.odllm.recommender

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** A new catalogue for a model that is on the device: live, on disk, and whatever happens in between. */
class UpdateTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private lateinit var bundle: File

    @Before
    fun copyBundle() {
        bundle = TestBundles.copy("loop", temporary.root)
    }

    @Test
    fun itIsUsedAtOnceAndAfterTheNextOpening() {
        Recommender.open(bundle).use { recommender ->
            for (name in listOf("grown", "grown-files", "shrunk", "blocked", "loop", "grown-files")) {
                val before = recommender.catalog
                val after = recommender.updateCatalog(TestBundles.folder(name))
                assertTrue(after === recommender.catalog && after !== before)
                val lists = if (name == "grown-files") "grown" else name
                if (name != "loop") assertListsOf(lists, recommender)
                assertTrue(recommender.selfTest().passed)
                Recommender.open(bundle).use { if (name != "loop") assertListsOf(lists, it) }
            }
        }
        assertEquals("Amélie", Recommender.open(bundle).use { it.catalog.find("é")?.title })
        assertEquals(TestBundles.folder("grown").list()!!.toSet(), bundle.list()!!.toSet())
    }

    @Test
    fun aSessionGoesOnOverIt() {
        Recommender.open(bundle).use { recommender ->
            val session = recommender.startSession()
            session.recommend(listOf("i1", "i2"))
            recommender.updateCatalog(TestBundles.folder("shrunk"))
            val history = listOf("i1", "i2", "i30")
            val alone = recommender.recommend(history)
            val found = session.recommend(history)
            assertNull(TestBundles.difference(found, alone))
            assertTrue(found.tokensRun < alone.tokensRun)
            assertThrows(UnknownItemsException::class.java) { session.recommend(listOf("i0")) }
        }
    }

    @Test
    fun aBundleThatIsNotOpen() {
        CatalogUpdate.install(bundle, TestBundles.folder("grown-files"))
        Recommender.open(bundle).use { assertListsOf("grown", it) }
    }

    /** The process dies after any number of steps: each is one file written or one rename. */
    @Test
    fun wheneverTheProcessDiesTheBundleIsTheOldOrTheNewOne() {
        val names = listOf("catalog.bin", "items.jsonl", "golden.json", "MODEL_CARD.md", "manifest.json")
        val update = TestBundles.folder("grown-files")
        for (written in 0..names.size) {
            val copy = TestBundles.copy("loop", temporary.newFolder())
            val writing = File(copy, ".update.writing").apply { mkdir() }
            for (name in names.take(written)) File(update, name).copyTo(File(writing, name))
            if (written > 0) File(writing, names[written - 1]).let { it.writeBytes(it.readBytes().copyOf(10)) }
            assertEquals(60, Recommender.open(copy).use { it.catalog.size })
            assertFalse(writing.exists())
        }
        for (moved in 0..names.size) {
            val copy = TestBundles.copy("loop", temporary.newFolder())
            val ready = File(copy, ".update").apply { mkdir() }
            for (name in names) {
                val isMoved = names.indexOf(name) < moved
                File(update, name).copyTo(File(if (isMoved) copy else ready, name), overwrite = true)
            }
            Recommender.open(copy).use { assertListsOf("grown", it) }
            assertFalse(ready.exists())
        }
    }

    @Test
    fun anotherModelIsRefused() {
        for (name in listOf("other", "unrolled", "int8", "vocab")) {
            assertUnchanged(CatalogMismatchException::class.java, TestBundles.folder(name))
        }
    }

    @Test
    fun aDamagedUpdateIsRefused() {
        for (name in File(TestBundles.folder("grown-files").path).list()!!) {
            val update = TestBundles.copy("grown-files", temporary.newFolder())
            val file = File(update, name)
            file.writeBytes(file.readBytes().copyOf(file.length().toInt() - 9))
            assertUnchanged(BundleDamagedException::class.java, update)
            file.delete()
            assertUnchanged(BundleException::class.java, update)
        }
        val update = TestBundles.copy("grown-files", temporary.newFolder())
        Manifests.edit(update) { Manifests.with(it, JsonInteger(3), "schema_version") }
        assertUnchanged(BundleTooNewException::class.java, update)
        val mixed = TestBundles.copy("grown-files", temporary.newFolder())
        File(TestBundles.folder("shrunk"), "catalog.bin").copyTo(File(mixed, "catalog.bin"), overwrite = true)
        Manifests.describe(mixed, "catalog.bin")
        assertUnchanged(BundleDamagedException::class.java, mixed)
    }

    @Test
    fun twoCataloguesThatDoNotFitTheMemory() {
        var free = Long.MAX_VALUE
        Recommender.open(bundle, RecommenderOptions.builder().availableMemory { free }.build()).use { recommender ->
            free = 1000
            val grown = TestBundles.folder("grown")
            assertThrows(NotEnoughMemoryException::class.java) { recommender.updateCatalog(grown) }
            assertEquals(60, recommender.catalog.size)
        }
    }

    /** Another download into the same folder, behind the first look at it. */
    @Test
    fun anUpdateThatBecomesAnotherMeanwhile() {
        val files = File(TestBundles.folder("grown-files").path).list()!!.toList()
        for ((name, changed) in listOf("other" to files, "shrunk" to listOf("manifest.json"), "loop" to files)) {
            val update = TestBundles.copy("grown-files", temporary.newFolder())
            var isOpen = false
            val memory = MemorySource {
                if (isOpen) for (file in changed) File(TestBundles.folder(name), file).copyTo(File(update, file), true)
                -1
            }
            Recommender.open(bundle, RecommenderOptions.builder().availableMemory(memory).build()).use { recommender ->
                isOpen = true
                assertThrows(name, BundleException::class.java) { recommender.updateCatalog(update) }
            }
            Recommender.open(bundle).use { assertEquals(60, it.catalog.size) }
        }
    }

    @Test
    fun theSameUpdateTwice() {
        Recommender.open(bundle).use { recommender ->
            repeat(2) { assertEquals(62, recommender.updateCatalog(TestBundles.folder("grown-files")).size) }
            assertTrue(recommender.selfTest().passed)
        }
        CatalogUpdate.install(bundle, bundle)
        Recommender.open(bundle).use { assertListsOf("grown", it) }
    }

    @Test
    fun anUpdateThatTheStorageRefusesChangesNothing() {
        val inTheWay = File(bundle, ".update/file")
        var isOpen = false
        val memory = MemorySource {
            if (isOpen) check(inTheWay.parentFile.mkdir() && inTheWay.createNewFile())
            -1
        }
        Recommender.open(bundle, RecommenderOptions.builder().availableMemory(memory).build()).use { recommender ->
            isOpen = true
            val error = assertThrows(RecommenderException::class.java) {
                recommender.updateCatalog(TestBundles.folder("grown"))
            }
            assertTrue(error.message!!, "cannot be written" in error.message!!)
            assertEquals(60, recommender.catalog.size)
            assertListsOf("loop", recommender)
            assertTrue(recommender.selfTest().passed)
        }
        assertFalse(File(bundle, ".update.writing").exists())
    }

    @Test
    fun closingEndsAnUpdateAndLeavesTheBundleAsItWas() {
        lateinit var recommender: Recommender
        var isOpen = false
        val memory = MemorySource {
            if (isOpen) recommender.close()
            -1
        }
        recommender = Recommender.open(bundle, RecommenderOptions.builder().availableMemory(memory).build())
        isOpen = true
        assertThrows(RecommenderClosedException::class.java) { recommender.updateCatalog(TestBundles.folder("grown")) }
        assertEquals(TestBundles.folder("loop").list()!!.toSet(), bundle.list()!!.toSet())
        Recommender.open(bundle).use { assertEquals(60, it.catalog.size) }
    }

    private fun <T : RecommenderException> assertUnchanged(error: Class<T>, update: File) {
        fun state() = bundle.listFiles()!!.associate { it.name to it.readBytes().contentHashCode() }
        val before = state()
        assertThrows(error) { CatalogUpdate.install(bundle, update) }
        Recommender.open(bundle).use { recommender ->
            val catalog = recommender.catalog
            assertThrows(error) { recommender.updateCatalog(update) }
            assertTrue(catalog === recommender.catalog)
            assertEquals(5, recommender.recommend(listOf("i1")).items.size)
        }
        assertEquals(before, state())
    }

    private fun assertListsOf(name: String, recommender: Recommender) {
        for (list in TestBundles.lists(name).take(20)) assertNull(TestBundles.difference(recommender, list))
    }
}
