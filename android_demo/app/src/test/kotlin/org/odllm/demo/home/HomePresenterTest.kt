package org.odllm.demo.home

import java.io.File
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
import org.odllm.demo.MapAssets
import org.odllm.demo.ScriptedOpener
import org.odllm.demo.bundles.AssetTree
import org.odllm.demo.recommend.Item
import org.odllm.demo.recommend.Problem
import org.odllm.demo.recommend.ProblemKind
import org.odllm.recommender.Provider
import org.odllm.recommender.RecommenderException

class HomePresenterTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val opener = ScriptedOpener()

    private fun device(storage: File = folder.root) = Device(storage, opener, FILMS).started()

    private val Device.shown get() = home.state.value

    private val Device.nextTitles get() = shown.next?.rows?.map { it.item.title }

    @Test
    fun `the catalogue is there after the start and nothing was asked`() {
        val device = device()
        assertEquals(listOf("Alien", "Brazil", "Casablanca", "Dune", "Elf"), device.shown.found.map { it.item.title })
        assertNull(device.shown.next)
        assertTrue(opener.open.single().asked.isEmpty())
    }

    @Test
    fun `a tap is asked about and shown with its shares`() {
        val device = device()
        device.home.add(Item("Brazil", "Brazil"))
        assertTrue(device.shown.isAsking)
        device.settle()
        assertFalse(device.shown.isAsking)
        assertEquals(listOf("Alien", "Casablanca", "Dune", "Elf"), device.nextTitles)
        assertEquals(1f, device.shown.next!!.rows[0].fill)
        assertEquals(0.3679f, device.shown.next!!.rows[1].fill, 1e-4f)
        assertEquals(12.4, device.shown.next!!.timeMillis, 0.0)
        assertTrue(device.shown.found.single { it.item.id == "Brazil" }.isInHistory)
    }

    @Test
    fun `of two taps in flight only the second is computed`() {
        val device = device()
        device.home.add(Item("Alien", "Alien"))
        device.home.add(Item("Brazil", "Brazil"))
        device.settle()
        assertEquals(listOf(listOf("Alien", "Brazil")), opener.open.single().asked)
        assertEquals(listOf("Casablanca", "Dune", "Elf"), device.nextTitles)
    }

    @Test
    fun `an answer that comes after the next tap is not shown`() {
        val device = device()
        device.home.add(Item("Alien", "Alien"))
        device.model.step() // the first answer waits for the main thread
        device.home.add(Item("Brazil", "Brazil"))
        device.main.drain()
        assertNull(device.shown.next)
        assertTrue(device.shown.isAsking)
        device.settle()
        assertEquals(listOf("Casablanca", "Dune", "Elf"), device.nextTitles)
    }

    @Test
    fun `a cleared history shows no late answer`() {
        val device = device()
        device.home.add(Item("Alien", "Alien"))
        device.model.step()
        device.home.clear()
        device.settle()
        assertNull(device.shown.next)
        assertFalse(device.shown.isAsking)
    }

    @Test
    fun `turning the device tells the new screen the same state`() {
        val device = device()
        val seen = ArrayList<HomeState>()
        device.home.state.watch { }.close()
        device.home.add(Item("Alien", "Alien"))
        device.home.start()
        device.settle()
        device.home.state.watch { seen.add(it) }
        assertEquals(listOf(device.shown), seen)
        assertEquals(1, opener.open.size)
        assertEquals(1, opener.open.single().asked.size)
    }

    @Test
    fun `finishing closes the bundle and starting opens it again with the history`() {
        val device = device()
        device.home.add(Item("Alien", "Alien"))
        device.settle()
        device.home.leave(isForGood = true)
        device.settle()
        assertTrue(opener.open.isEmpty())
        device.started()
        assertEquals(listOf("Alien"), opener.open.single().asked.last())
        assertEquals(listOf("Brazil", "Casablanca", "Dune", "Elf"), device.nextTitles)
    }

    @Test
    fun `finishing while the bundle opens leaves nothing open`() {
        val device = Device(folder.root, opener, FILMS)
        device.home.enter()
        device.home.start()
        device.model.drain()
        device.main.drain() // now it opens
        device.home.leave(isForGood = true)
        device.settle()
        assertTrue(opener.open.isEmpty())
    }

    @Test
    fun `the history is back after the process was ended`() {
        val first = device()
        first.home.add(Item("Alien", "Alien"))
        first.home.add(Item("Dune", "Dune"))
        first.settle()
        val second = device()
        assertEquals(listOf("Alien", "Dune"), second.shown.chips.map { it.item.title })
        assertEquals(listOf("Brazil", "Casablanca", "Elf"), second.nextTitles)
        assertFalse(second.shown.canUndo)
    }

    @Test
    fun `a failed question shows words and the next one its list`() {
        val device = device()
        opener.open.single().failure = RecommenderException("The runtime gave up: try again.")
        device.home.add(Item("Alien", "Alien"))
        device.settle()
        assertEquals(Problem(ProblemKind.CALCULATION_FAILED, "The runtime gave up: try again."), device.shown.problem)
        opener.open.single().failure = null
        device.home.retry()
        device.settle()
        assertNull(device.shown.problem)
        assertEquals(4, device.nextTitles?.size)
    }

    @Test
    fun `a bundle that cannot be opened is said and can be tried again`() {
        opener.failure = RecommenderException("no")
        val device = device()
        assertEquals(Stage.Failed(Problem(ProblemKind.CALCULATION_FAILED, "no")), device.shown.stage)
        opener.failure = null
        device.home.retry()
        device.settle()
        assertTrue(device.shown.stage is Stage.Ready)
    }

    @Test
    fun `an app without bundles says so`() {
        val device = Device(folder.root, opener, MapAssets(emptyMap())).started()
        assertEquals(Stage.Failed(Problem(ProblemKind.NO_BUNDLE)), device.shown.stage)
    }

    @Test
    fun `another bundle keeps the history and names what it lacks`() {
        val device = device()
        for (title in listOf("Alien", "Dune")) device.home.add(Item(title, title))
        device.settings.chooseBundle("shipped/films-int8")
        device.settle()
        assertEquals(listOf("Alien" to true, "Dune" to false), device.shown.chips.map { it.item.title to it.isKnown })
        assertEquals(1, device.shown.unknown)
        assertEquals(listOf("Alien"), opener.open.single().asked.single())
        device.settings.chooseBundle("shipped/films")
        device.settle()
        assertEquals(0, device.shown.unknown)
        assertEquals(listOf("Alien", "Dune"), opener.open.single().asked.single())
    }

    @Test
    fun `what the window leaves out is marked`() {
        val device = device()
        for (title in listOf("Alien", "Brazil", "Dune", "Elf")) device.home.add(Item(title, title))
        device.settle()
        assertEquals(listOf(false, true, true, true), device.shown.chips.map { it.isRead })
        assertEquals(3, device.shown.window)
    }

    @Test
    fun `undo brings back what was removed, moved and cleared`() {
        val device = device()
        for (title in listOf("Alien", "Brazil", "Dune")) device.home.add(Item(title, title))
        device.home.remove(1)
        device.home.move(0, 1)
        assertEquals(listOf("Dune", "Alien"), device.shown.chips.map { it.item.title })
        device.home.clear()
        repeat(3) { device.home.undo() }
        device.settle()
        assertEquals(listOf("Alien", "Brazil", "Dune"), device.shown.chips.map { it.item.title })
        assertEquals(listOf("Alien", "Brazil", "Dune"), device.history.read().map { it.title })
    }

    @Test
    fun `a search shows its own titles although an earlier one ends later`() {
        val device = device()
        device.home.search("as")
        device.quick.step() // what it found waits for the main thread
        device.home.search("l")
        device.main.drain()
        assertEquals(5, device.shown.found.size)
        device.settle()
        assertEquals(listOf("Alien", "Brazil", "Casablanca", "Elf"), device.shown.found.map { it.item.title })
        assertFalse(device.shown.isFoundCut)
    }

    @Test
    fun `more titles than fit are cut and said to be`() {
        val many = MapAssets(mapOf("bundles/many/manifest.json" to (1..41).joinToString(",")))
        val device = Device(folder.root, opener, many).started()
        assertEquals(MOST_FOUND, device.shown.found.size)
        assertTrue(device.shown.isFoundCut)
    }

    @Test
    fun `short memory lets go of the cache and nothing else`() {
        val device = device()
        device.home.trimMemory()
        device.settle()
        assertEquals(1, opener.open.single().releases)
    }

    @Test
    fun `a provider that is not there is said`() {
        val device = device()
        device.settings.chooseProvider(Provider.NNAPI)
        device.settle()
        val facts = (device.shown.stage as Stage.Ready).facts
        assertEquals(Provider.CPU, facts.used)
        assertEquals("no driver", facts.fallback)
    }

    @Test
    fun `a provider that ended the process is left and said`() {
        val storage = File(folder.root, "storage")
        val atThatMoment = File(folder.root, "at that moment")
        opener.whileOpening = { if (it.provider == Provider.XNNPACK) storage.copyRecursively(atThatMoment) }
        val first = device(storage)
        first.settings.chooseProvider(Provider.XNNPACK)
        first.settle()
        opener.whileOpening = {}
        val second = device(atThatMoment)
        assertEquals(Provider.XNNPACK, second.shown.dropped)
        assertEquals(Provider.CPU, (second.shown.stage as Stage.Ready).facts.used)
        assertNull(device(atThatMoment).shown.dropped)
    }

    @Test
    fun `a second first screen that goes takes nothing from the first`() {
        val device = device()
        device.home.enter()
        device.home.start()
        device.home.leave(isForGood = true)
        device.settle()
        assertTrue(device.shown.stage is Stage.Ready)
        device.home.leave(isForGood = true)
        device.settle()
        assertTrue(opener.open.isEmpty())
    }

    @Test
    fun `a question that a self-test ended is asked again, and leaving the self-test does not end it`() {
        val device = device()
        device.home.add(Item("Alien", "Alien"))
        device.selfTest.test()
        device.home.start() // the screen below starts before the one above stops
        device.selfTest.stop()
        device.settle()
        assertFalse(device.shown.isAsking)
        assertEquals(listOf("Brazil", "Casablanca", "Dune", "Elf"), device.nextTitles)
    }

    @Test
    fun `a provider that ended the process at its first question is left and said`() {
        val storage = File(folder.root, "storage")
        val atThatMoment = File(folder.root, "at that moment")
        val first = device(storage)
        first.settings.chooseProvider(Provider.XNNPACK)
        first.settle()
        opener.open.single().whileAsking = { storage.copyRecursively(atThatMoment) }
        first.home.add(Item("Alien", "Alien"))
        first.settle()
        assertEquals(Provider.XNNPACK, device(atThatMoment).shown.dropped)
        assertNull("it has answered", device(storage).shown.dropped)
    }

    @Test
    fun `a first start without room says why there is no bundle and can be tried again`() {
        var isFull = true
        val assets = object : AssetTree by FILMS {
            override fun open(path: String) = if (isFull) throw IOException("no space left") else FILMS.open(path)
        }
        val device = Device(folder.root, opener, assets).started()
        assertEquals(Stage.Failed(Problem(ProblemKind.FILE_UNREADABLE, "no space left")), device.shown.stage)
        isFull = false
        device.home.retry()
        device.settle()
        assertTrue(device.shown.stage is Stage.Ready)
    }

    @Test
    fun `an example begins the history, once, and one undo takes it away`() {
        val device = device()
        repeat(2) { device.home.tryExample() }
        device.settle()
        assertEquals(listOf("Alien", "Brazil"), device.shown.chips.map { it.item.title })
        assertEquals(listOf("Casablanca", "Dune", "Elf"), device.nextTitles)
        assertFalse(device.shown.hasExample)
        device.home.undo()
        device.settle()
        assertTrue(device.shown.hasExample)
    }

    @Test
    fun `a tap is worth more than an example that is being looked up`() {
        val device = device()
        device.home.tryExample()
        device.home.add(Item("Dune", "Dune"))
        device.settle()
        assertEquals(listOf("Dune"), device.shown.chips.map { it.item.title })
    }
}
