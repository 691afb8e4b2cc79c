package org.odllm.demo.selftest

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.demo.Device
import org.odllm.demo.FILMS
import org.odllm.demo.MapAssets
import org.odllm.demo.ScriptedOpener

class SelfTestPresenterTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val opener = ScriptedOpener()

    private fun device(assets: MapAssets = FILMS) = Device(folder.root, opener, assets).apply {
        selfTest.start()
        settle()
    }

    @Test
    fun `progress and result are shown in turn`() {
        val device = device()
        val runs = ArrayList<TestRun>()
        device.selfTest.state.watch { runs.add(it.run) }
        device.selfTest.test()
        device.settle()
        assertEquals(
            listOf(TestRun.Idle, TestRun.Running(0, 0), TestRun.Running(1, 2), TestRun.Running(2, 2)),
            runs.dropLast(1),
        )
        assertTrue((runs.last() as TestRun.Finished).outcome.isPassed)
    }

    @Test
    fun `a stopped test shows neither progress nor result`() {
        val device = device()
        device.selfTest.test()
        device.model.drain()
        device.selfTest.stop()
        device.settle()
        assertEquals(TestRun.Stopped, device.selfTest.state.value.run)
        assertTrue(device.selfTest.state.value.canStart)
    }

    @Test
    fun `it cannot start before the bundle is open`() {
        val device = Device(folder.root, opener, FILMS)
        device.selfTest.start()
        device.selfTest.test()
        assertEquals(TestRun.Idle, device.selfTest.state.value.run)
    }

    @Test
    fun `a bundle without golden histories says so`() {
        val state = device(MapAssets(mapOf("bundles/untested/manifest.json" to "Alien"))).selfTest.state.value
        assertTrue(state.lacksTest)
        assertFalse(state.canStart)
    }

    @Test
    fun `another bundle takes the result away`() {
        val device = device()
        device.selfTest.test()
        device.settle()
        device.settings.chooseBundle("shipped/films-int8")
        device.settle()
        assertEquals(TestRun.Idle, device.selfTest.state.value.run)
    }
}
