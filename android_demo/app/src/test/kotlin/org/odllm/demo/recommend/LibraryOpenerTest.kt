package org.odllm.demo.recommend

import java.io.File
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNotNull
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Assume.assumeTrue
import org.junit.Before
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.demo.Device
import org.odllm.demo.MapAssets
import org.odllm.demo.bundles.FolderSource
import org.odllm.demo.bundles.MANIFEST
import org.odllm.demo.bundles.SourceFile
import org.odllm.demo.bundles.ZipSource
import org.odllm.demo.home.NextList
import org.odllm.demo.home.Stage
import org.odllm.demo.selftest.TestRun
import org.odllm.recommender.Provider

/** The whole app but its views, with the library and a bundle from the folder of the property `odllm.bundles`. */
class LibraryOpenerTest {
    @get:Rule
    val folder = TemporaryFolder()

    private lateinit var bundle: File
    private lateinit var device: Device

    @Before
    fun openDevice() {
        val bundles = System.getProperty("odllm.bundles")
        assumeTrue("the property odllm.bundles names no folder of bundles", bundles != null)
        val found = File(bundles!!).listFiles { file -> File(file, "recommend.onnx").isFile }.orEmpty() // no updates
        bundle = found.maxByOrNull { file -> File(file, "items.jsonl").length() }!!
        device = Device(folder.root, LibraryOpener({ Long.MAX_VALUE }, { 1L }), MapAssets(emptyMap())).started()
    }

    private fun folderOf(bundle: File) = FolderSource {
        bundle.listFiles().orEmpty().map { file -> SourceFile(file.name) { file.inputStream() } }
    }

    private fun load() {
        device.settings.load(folderOf(bundle))
        device.settle()
        assertEquals(null, device.settings.state.value.problem)
    }

    private fun next(): NextList = device.home.state.value.next!!

    @Test
    fun `taps bring the library's list and what was tapped does not come back`() {
        load()
        val stage = device.home.state.value.stage as Stage.Ready
        val tapped = device.home.state.value.found.take(3).map { it.item }
        for (item in tapped) {
            device.home.add(item)
            device.settle()
        }
        val first = next()
        assertTrue("\"name\": \"${stage.facts.name}\"" in bundle.resolve(MANIFEST).readText())
        assertTrue(first.rows.isNotEmpty() && first.rows.none { it.item in tapped })
        assertEquals(first.rows.map { it.share }.sortedDescending(), first.rows.map { it.share })
        device.home.trimMemory()
        device.home.undo()
        device.home.add(tapped.last())
        device.settle()
        assertEquals(first.rows.map { it.item }, next().rows.map { it.item })
        device.home.leave(isForGood = true)
        device.settle()
    }

    @Test
    fun `the self-test passes with a bundle from a ZIP file`() {
        val zip = folder.newFile("bundle.zip")
        ZipOutputStream(zip.outputStream()).use { out ->
            for (file in bundle.listFiles().orEmpty()) {
                out.putNextEntry(ZipEntry("bundle/${file.name}"))
                file.inputStream().use { it.copyTo(out) }
            }
        }
        device.settings.load(ZipSource { zip.inputStream() })
        device.settle()
        assumeTrue("the bundle has no golden histories", !device.selfTest.state.value.lacksTest)
        device.selfTest.test()
        device.settle()
        val run = device.selfTest.state.value.run as TestRun.Finished
        assertTrue("${run.outcome}", run.outcome.isPassed)
        device.home.leave(isForGood = true)
        device.settle()
    }

    @Test
    fun `a bundle with a damaged file is refused and named`() {
        val damaged = FolderSource {
            bundle.listFiles().orEmpty().map { file ->
                val isDamaged = file.name == "catalog.bin"
                SourceFile(file.name) { if (isDamaged) "damaged".byteInputStream() else file.inputStream() }
            }
        }
        device.settings.load(damaged)
        device.settle()
        val problem = device.settings.state.value.problem
        assertEquals(ProblemKind.BUNDLE_DAMAGED, problem?.kind)
        assertTrue("${problem?.detail}", "catalog.bin" in problem?.detail.orEmpty())
        assertEquals(0, device.settings.state.value.bundles.size)
    }

    @Test
    fun `the bundle brings an example and says its precision`() {
        load()
        device.home.tryExample()
        device.settle()
        assertTrue(device.home.state.value.chips.size in 1..5)
        assertTrue(next().rows.isNotEmpty())
        val facts = (device.home.state.value.stage as Stage.Ready).facts
        assertEquals(facts.precision, precisionOf(bundle))
        assertNull(precisionOf(folder.root))
        device.home.leave(isForGood = true)
        device.settle()
    }

    @Test
    fun `too little memory is said before anything is loaded`() {
        load()
        val small = Device(folder.root, LibraryOpener({ 1L }, { 1L }), MapAssets(emptyMap())).started()
        val problem = (small.home.state.value.stage as Stage.Failed).problem
        assertEquals(ProblemKind.NOT_ENOUGH_MEMORY, problem.kind)
        device.home.leave(isForGood = true)
        device.settle()
    }

    @Test
    fun `providers are those of the runtime without those that the device lacks`() {
        val all = LibraryOpener({ 1L }, { 1L }).providers
        assertTrue(Provider.CPU in all)
        assertFalse(Provider.NNAPI in LibraryOpener({ 1L }, { 1L }, setOf(Provider.NNAPI)).providers)
    }

    @Test
    fun `a provider that is not in this build leaves the processor and says why`() {
        load()
        device.settings.chooseProvider(Provider.QNN)
        device.settle()
        val facts = (device.home.state.value.stage as Stage.Ready).facts
        assertEquals(Provider.CPU, facts.used)
        assertNotNull(facts.fallback)
        device.home.leave(isForGood = true)
        device.settle()
    }
}
