package org.odllm.demo.settings

import java.io.IOException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertNull
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.demo.Device
import org.odllm.demo.FILMS
import org.odllm.demo.ScriptedOpener
import org.odllm.demo.bundles.BundleSource
import org.odllm.demo.bundles.FolderSource
import org.odllm.demo.bundles.MANIFEST
import org.odllm.demo.bundles.SourceFile
import org.odllm.demo.home.Stage
import org.odllm.demo.recommend.ProblemKind
import org.odllm.demo.recommend.RunChoice
import org.odllm.recommender.Provider

class SettingsPresenterTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val opener = ScriptedOpener()

    private fun device() = Device(folder.root, opener, FILMS).apply {
        settings.start()
        settle()
    }

    private val Device.shown get() = settings.state.value

    private fun source(titles: String) = FolderSource { listOf(SourceFile(MANIFEST) { titles.byteInputStream() }) }

    @Test
    fun `the settings can be the first screen`() {
        val shown = device().shown
        assertTrue(shown.stage is Stage.Ready)
        assertEquals(listOf("films", "films-int8"), shown.bundles.map { it.bundle.name })
        assertEquals(listOf(true, false), shown.bundles.map { it.isChosen })
        assertEquals(listOf(1, 2, 3, 4), shown.threadChoices)
        assertEquals(shown.bundles.map { it.bundle.bytes }.sum(), shown.storedBytes)
    }

    @Test
    fun `a choice is opened and remembered`() {
        val device = device()
        device.settings.chooseBundle("shipped/films-int8")
        device.settings.chooseThreads(3)
        device.settings.chooseProvider(Provider.XNNPACK)
        device.settle()
        val expected = RunChoice("shipped/films-int8", Provider.XNNPACK, 3)
        assertEquals(expected, device.choices.read())
        assertEquals(Provider.XNNPACK, opener.open.single().facts.used)
        assertEquals(expected, device().shelf.state.value.choice)
    }

    @Test
    fun `of choices made in a row only the last is opened`() {
        val device = device()
        val opened = ArrayList<Int>()
        opener.whileOpening = { opened.add(it.threads) }
        device.settings.chooseThreads(2)
        device.settings.chooseThreads(3)
        device.settle()
        assertEquals(listOf(3), opened)
    }

    @Test
    fun `the choice that holds already opens nothing`() {
        val device = device()
        val before = opener.open.single()
        device.settings.chooseThreads(1)
        device.settle()
        assertTrue(before === opener.open.single())
    }

    @Test
    fun `a loaded bundle is checked, chosen and stays`() {
        val device = device()
        device.settings.load(source("Xanadu,Yentl"))
        assertEquals(0L, device.shown.loadedBytes)
        assertFalse(device.shown.isFree)
        device.settle()
        assertNull(device.shown.loadedBytes)
        assertEquals("loaded/films-fp32", device.shelf.state.value.choice.bundle)
        assertEquals(2, opener.open.single().facts.items)
        assertEquals("loaded/films-fp32", device().shelf.state.value.chosen?.key)
    }

    @Test
    fun `the open bundle is closed while another is checked`() {
        val device = device()
        var openThen = -1
        opener.whileOpening = { openThen = opener.open.size }
        device.settings.load(source("Xanadu"))
        device.model.drain()
        assertEquals(0, openThen)
    }

    @Test
    fun `what is no bundle is refused with words and the old one opens again`() {
        val device = device()
        device.settings.load(FolderSource { emptyList() })
        device.settle()
        assertEquals(ProblemKind.NOT_A_BUNDLE, device.shown.problem?.kind)
        assertEquals(5, opener.open.single().facts.items)
        assertEquals(2, device.shown.bundles.size)
    }

    @Test
    fun `leaving the screen stops the copying and leaves nothing behind`() {
        val device = device()
        val left = BundleSource { copy ->
            device.settings.leave()
            copy.write(MANIFEST, "Xanadu".byteInputStream())
        }
        device.settings.load(left)
        device.settle()
        assertNull(device.shown.problem)
        assertEquals(2, device.shown.bundles.size)
        assertEquals(0, folder.root.resolve("bundles/staging").list()!!.size)
        assertEquals(5, opener.open.single().facts.items)
    }

    @Test
    fun `a source that cannot be read is said`() {
        val device = device()
        device.settings.load { throw IOException("the card is gone") }
        device.settle()
        assertEquals(ProblemKind.FILE_UNREADABLE, device.shown.problem?.kind)
        assertEquals("the card is gone", device.shown.problem?.detail)
    }

    @Test
    fun `a bundle picked before the app has looked around is taken in`() {
        val device = Device(folder.root, opener, FILMS)
        device.settings.start() // as after the process was ended behind the file picker
        device.settings.load(source("Xanadu"))
        var openings = 0
        opener.whileOpening = { openings++ }
        device.model.step() // the look around
        device.main.drain()
        assertEquals(0L, device.shown.loadedBytes)
        device.settle()
        assertEquals(1, opener.open.single().facts.items)
        assertEquals("one to check it and one to use it", 2, openings)
    }

    @Test
    fun `an app that was closed while a bundle was copied opens nothing`() {
        val device = device()
        device.home.enter()
        device.settings.load(source("Xanadu"))
        device.home.leave(isForGood = true)
        device.settle()
        assertTrue(opener.open.isEmpty())
    }

    @Test
    fun `only what was loaded can be deleted, after a yes`() {
        val device = device()
        device.settings.load(source("Xanadu"))
        device.settle()
        device.settings.askToDelete("shipped/films")
        assertNull(device.shown.doomed)
        device.settings.askToDelete("loaded/films-fp32")
        device.settings.answerDelete(false)
        device.settle()
        assertEquals(3, device.shown.bundles.size)
        device.settings.askToDelete("loaded/films-fp32")
        device.settings.answerDelete(true)
        device.settle()
        assertEquals(listOf("films", "films-int8"), device.shown.bundles.map { it.bundle.name })
        assertEquals(5, opener.open.single().facts.items)
    }

    @Test
    fun `a bundle that was deleted and is loaded again opens`() {
        val device = device()
        repeat(2) {
            device.settings.load(source("Xanadu"))
            device.settle()
            assertEquals(1, opener.open.single().facts.items)
            device.settings.askToDelete("loaded/films-fp32")
            device.settings.answerDelete(true)
            device.settle()
        }
        assertTrue(device.shown.stage is Stage.Ready)
    }

    @Test
    fun `trying again takes the words of a refused bundle away`() {
        val device = device()
        device.settings.load(FolderSource { emptyList() })
        device.settle()
        device.settings.retry()
        device.settle()
        assertNull(device.shown.problem)
        assertEquals(5, opener.open.single().facts.items)
    }
}
