package org.odllm.recommender.bench

import java.io.File
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

/** The runtime's profiles, as far as they are read. */
class ProfileTest {
    @get:Rule
    val folder = TemporaryFolder()

    @Test
    fun nodesOfBothGraphsAreSortedAndStandOnce() {
        val product = node("b", "MatMul", "CPU")
        val first = profile(product, """{"cat": "Session", "name": "run"}""", product)
        val bare = """{"cat": "Node", "name": "c", "args": {}}"""
        val second = profile(node("b", "Add", "Xnnpack"), node("a", "Add", ""), bare)
        val found = Profile.read(listOf(first, second)).map { "${it.name} ${it.operator} ${it.provider}" }
        assertEquals(listOf("b MatMul CPU", "step/b Add Xnnpack"), found)
    }

    @Test
    fun profilesWithoutANodeAreRefused() {
        for (text in listOf("[]", "", """[{"cat": "Node", "name": "a"}]""")) {
            val file = folder.newFile().apply { writeText(text) }
            assertEquals(4, assertThrows(Refusal::class.java) { Profile.read(listOf(file)) }.exitCode)
        }
    }

    @Test
    fun scratchFoldersAreGoneAfterwards() {
        val seen = inScratchFolder { it.resolve("profile").writeText("x").let { _ -> it } }
        assertEquals(false, seen.exists())
    }

    private fun node(name: String, operator: String, provider: String) =
        """{"cat": "Node", "name": "$name", "args": {"op_name": "$operator", "provider": "$provider"}}"""

    private fun profile(vararg events: String): File =
        folder.newFile().apply { writeText(events.joinToString(prefix = "[", postfix = "]")) }
}
