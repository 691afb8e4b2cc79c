package org.odllm.recommender

import java.io.File
import java.io.RandomAccessFile
import java.nio.file.Files
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** Whatever is wrong with a bundle, opening it says so in words. */
class DamagedBundleTest {
    @get:Rule
    val temporary = TemporaryFolder()

    private lateinit var bundle: File

    @Before
    fun copyBundle() {
        bundle = TestBundles.copy("loop", temporary.root)
    }

    @Test
    fun aFileThatIsMissingCutShortLongerOrAltered() {
        for (name in bundle.list()!!.filter { it != "manifest.json" }) {
            val whole = File(bundle, name).readBytes()
            assertDamaged(name) { File(bundle, name).delete() }
            for (length in listOf(0, 1, whole.size / 2, whole.size - 1)) {
                assertDamaged(name) { File(bundle, name).writeBytes(whole.copyOf(length)) }
            }
            assertDamaged(name) { File(bundle, name).writeBytes(whole + 0) }
            for (at in listOf(0, whole.size / 3, whole.size - 1)) {
                val flipped = whole.clone().also { it[at] = (it[at].toInt() xor 1).toByte() }
                assertDamaged(name) { File(bundle, name).writeBytes(flipped) }
            }
            File(bundle, name).writeBytes(whole)
        }
        Recommender.open(bundle).close()
    }

    @Test
    fun noBundleAtAll() {
        File(bundle, "manifest.json").delete()
        for (folder in listOf(bundle, File(bundle, "none"), File(bundle, "catalog.bin"))) {
            val error = assertThrows(BundleNotFoundException::class.java) { Recommender.open(folder) }
            assertEquals(folder, error.bundle)
        }
    }

    @Test
    fun aPathThatLeadsNowhere() {
        val circle = File(temporary.root, "circle")
        Files.createSymbolicLink(circle.toPath(), circle.toPath())
        for (folder in listOf(circle, File("a\u0000b"), File("x".repeat(5000)))) {
            assertThrows(BundleNotFoundException::class.java) { Recommender.open(folder) }
        }
    }

    @Test
    fun aFolderThatIsALinkToTheBundle() {
        val link = File(temporary.root, "link")
        Files.createSymbolicLink(link.toPath(), bundle.toPath())
        Recommender.open(link).use { assertEquals(62, it.updateCatalog(TestBundles.folder("grown")).size) }
        Recommender.open(bundle).use { assertEquals(62, it.catalog.size) }
    }

    @Test
    fun aManifestThatIsCutShortOrNoText() {
        val file = File(bundle, "manifest.json")
        val whole = file.readBytes()
        for (length in 0 until whole.size - 2 step 97) {
            assertDamaged("manifest.json") { file.writeBytes(whole.copyOf(length)) }
        }
        for (text in listOf("[]", "null", "\"x\"", "{}", "[".repeat(100_000), "{\"schema_version\": NaN}")) {
            assertDamaged("manifest.json") { file.writeText(text) }
        }
        assertDamaged("manifest.json") { file.writeBytes(whole + whole) }
        val at = whole.decodeToString().indexOf("toy")
        assertDamaged("manifest.json") { file.writeBytes(whole.clone().also { it[at] = 0xFF.toByte() }) }
    }

    @Test
    fun aGraphThatIsNoGraphAndWhoseHashIsRight() {
        File(bundle, "recommend.onnx").writeBytes(ByteArray(1000) { it.toByte() })
        Manifests.describe(bundle, "recommend.onnx")
        assertDamaged("recommend.onnx") {}
    }

    @Test
    fun anotherModelsGraph() {
        Manifests.edit(bundle) { Manifests.with(it, JsonInteger(6), "prompt", "max_items") }
        assertDamaged("recommend.onnx") {}
    }

    @Test
    fun weightsThatAreNoNumbers() {
        val weights = File(bundle, "recommend.onnx.data")
        weights.writeBytes(ByteArray(weights.length().toInt()) { 0xFF.toByte() })
        Manifests.describe(bundle, weights.name)
        Recommender.open(bundle).use { recommender ->
            assertThrows(InferenceException::class.java) { recommender.recommend(listOf("i1")) }
            assertThrows(InferenceException::class.java) { recommender.startSession().recommend(listOf("i1")) }
            assertThrows(InferenceException::class.java) { recommender.selfTest() }
        }
    }

    @Test
    fun weightsThatAreCutShortAndNotVerified() {
        RandomAccessFile(File(bundle, "recommend.onnx.data"), "rw").use { it.setLength(4096) }
        Manifests.describe(bundle, "recommend.onnx.data")
        assertThrows(RecommenderException::class.java) {
            Recommender.open(bundle, RecommenderOptions.builder().verifyFiles(false).build())
        }
    }

    @Test
    fun hashesCanBeLeftToTheInstaller() {
        File(bundle, "MODEL_CARD.md").let { it.writeBytes(it.readBytes().reversedArray()) }
        assertDamaged("MODEL_CARD.md") {}
        Recommender.open(bundle, RecommenderOptions.builder().verifyFiles(false).build()).close()
    }

    @Test
    fun moreMemoryThanIsFree() {
        val options = RecommenderOptions.builder().availableMemory { 1000L }.build()
        val error = assertThrows(NotEnoughMemoryException::class.java) { Recommender.open(bundle, options) }
        assertEquals(1000L, error.availableBytes)
        assertTrue(error.neededBytes > 1000)
        Manifests.edit(bundle) { Manifests.with(it, JsonInteger(Long.MAX_VALUE), "expected_peak_memory_bytes") }
        assertThrows(NotEnoughMemoryException::class.java) { Recommender.open(bundle) }
        Recommender.open(bundle, RecommenderOptions.builder().availableMemory(null).build()).close()
        Recommender.open(bundle, RecommenderOptions.builder().availableMemory { -1L }.build()).close()
    }

    private fun assertDamaged(name: String, damage: () -> Unit) {
        damage()
        val error = assertThrows(BundleDamagedException::class.java) { Recommender.open(bundle) }
        assertEquals(error.message, name, error.file.name)
        assertEquals(bundle, error.bundle)
    }
}
