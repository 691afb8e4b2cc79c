package org.odllm.recommender

import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import java.util.Random
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

/** Form `steps` against form `loop` of the same model. */
class StepsEngineTest {
    private val random = Random(5)

    @Test
    fun listsAreThoseOfTheLoop() = withEngines { loop, steps, items ->
        repeat(30) {
            val history = LongArray(1 + random.nextInt(9)) { random.nextInt(items).toLong() }
            val blocked = random.longs(random.nextInt(4).toLong(), 0, items.toLong()).distinct().toArray()
            assertSame(loop.run(history, blocked, null, null), steps.run(history, blocked, null, null))
        }
    }

    @Test
    fun sessionsRunWhatIsNewAndFindTheSame() = withEngines { _, steps, items ->
        val manifest = ManifestReader.read(TestBundles.folder("steps"))
        val history = LongArray(manifest.prompt.maxItems) { random.nextInt(items).toLong() }
        var cache = KeptCache(null, 0)
        for (length in 1..history.size) {
            val asked = history.copyOf(length)
            val kept = steps.run(asked, longArrayOf(), cache, null)
            val whole = steps.run(asked, longArrayOf(), null, null)
            assertSame(whole, kept)
            assertEquals(whole.tokensRun - cache.tokens, kept.tokensRun)
            cache = KeptCache(cache.content, manifest.prompt.reusableTokens(length))
        }
    }

    @Test
    fun twoSessionsGoOnFromOneCache() = withEngines { _, steps, _ ->
        val prompt = ManifestReader.read(TestBundles.folder("steps")).prompt
        val begun = KeptCache(null, 0)
        steps.run(longArrayOf(3, 7), longArrayOf(), begun, null)
        for (next in longArrayOf(1, 9, 1)) {
            val asked = longArrayOf(3, 7, next)
            val kept = steps.run(asked, longArrayOf(), KeptCache(begun.content, prompt.reusableTokens(2)), null)
            assertSame(steps.run(asked, longArrayOf(), null, null), kept)
        }
    }

    @Test
    fun aCallThatWasEndedLeavesNothingBehind() = withEngines { _, steps, _ ->
        val before = steps.run(longArrayOf(1, 2), longArrayOf(), null, null)
        OrtSession.RunOptions().use { options ->
            options.setTerminate(true)
            assertThrows(OrtException::class.java) { steps.run(longArrayOf(4, 5, 6), longArrayOf(), null, options) }
        }
        assertSame(before, steps.run(longArrayOf(1, 2), longArrayOf(), null, null))
    }

    @Test
    fun blockingEverythingFindsNothing() = withEngines { _, steps, items ->
        assertEquals(0, steps.run(longArrayOf(1), LongArray(items) { it.toLong() }, null, null).items.size)
    }

    private fun assertSame(expected: Ranked, found: Ranked) {
        assertArrayEquals(expected.items, found.items)
        assertArrayEquals(expected.scores, found.scores, 1e-4f)
        assertTrue(found.items.isNotEmpty())
    }

    private fun withEngines(test: (loop: Engine, steps: Engine, items: Int) -> Unit) {
        val (loop, steps) =
            listOf("loop", "steps").map { OpenedBundle.open(TestBundles.folder(it), RecommenderOptions.DEFAULT) }
        loop.engine.use { one -> steps.engine.use { other -> test(one, other, loop.content.manifest.items) } }
    }
}
