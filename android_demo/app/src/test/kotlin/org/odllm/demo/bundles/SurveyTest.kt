package org.odllm.demo.bundles

import java.io.File
import java.io.IOException
import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.demo.FILMS
import org.odllm.demo.ScriptedOpener
import org.odllm.demo.recommend.BundleOpener
import org.odllm.demo.recommend.ProblemKind
import org.odllm.demo.recommend.RunChoice
import org.odllm.recommender.Provider

class SurveyTest {
    @get:Rule
    val folder = TemporaryFolder()

    private fun survey(assets: AssetTree = FILMS, opener: BundleOpener = ScriptedOpener()): ShelfState {
        val store = BundleStore(File(folder.root, "bundles"))
        val shipped = ShippedBundles(assets, store, File(folder.root, "copied"), "1")
        return Survey(store, shipped, choices(), opener).run()
    }

    private fun choices() = ChoiceFile(File(folder.root, "choice"))

    @Test
    fun `without a choice it is the first bundle on one thread of the processor`() {
        val found = survey()
        assertEquals(RunChoice(null, Provider.CPU, 1), found.choice)
        assertEquals("films", found.chosen?.name)
    }

    @Test
    fun `a chosen bundle that is gone is the first one`() {
        choices().write(RunChoice("loaded/gone", Provider.XNNPACK, 2))
        assertEquals("films", survey().chosen?.name)
    }

    @Test
    fun `a choice file of nonsense is a choice of nothing`() {
        File(folder.root, "choice").writeText("provider=TPU\nthreads=-3\nbundle")
        assertEquals(Provider.CPU, choices().read().provider)
        assertEquals(1, choices().read().threads)
    }

    @Test
    fun `what was copied before can be used although copying fails now`() {
        survey()
        val broken = object : AssetTree by FILMS {
            override fun open(path: String) = throw IOException("no space left")
        }
        val found = survey(broken)
        assertEquals(2, found.bundles.size)
        assertEquals(ProblemKind.FILE_UNREADABLE, found.problem?.kind)
    }

    @Test
    fun `a runtime that does not load leaves the processor to choose`() {
        val broken = object : BundleOpener by ScriptedOpener() {
            override val providers: List<Provider> get() = throw UnsatisfiedLinkError("no library")
        }
        val found = survey(opener = broken)
        assertEquals(listOf(Provider.CPU), found.providers)
        assertTrue(found.isReady)
    }

    @Test
    fun `half copied bundles of an ended app are removed`() {
        val staged = BundleStore(File(folder.root, "bundles")).stage()
        File(staged, "weights").writeText("half")
        survey()
        assertTrue(!staged.exists())
    }
}
