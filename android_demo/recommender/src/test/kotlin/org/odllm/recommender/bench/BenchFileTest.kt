package org.odllm.recommender.bench

import org.junit.Assert.assertEquals
import org.junit.Assert.assertTrue
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.recommender.Json

/** Files of requests, with requests that cannot be met: they need no runtime. */
class BenchFileTest {
    @get:Rule
    val folder = TemporaryFolder()

    @Test
    fun everyLineIsAnsweredInOrderAndTold() {
        val told = ArrayList<String>()
        val requests = arrayOf("""{"do": "memory"}""", "", "{", """{"do": "round", "first": 0, "calls": 1}""")
        val answers = run(*requests) { number, count, name -> told += "$number of $count: $name" }
        assertEquals(listOf("1 of 3: memory", "2 of 3: ?", "3 of 3: round"), told)
        assertEquals(3, answers.size)
        assertTrue(answers[2]["refused"].text, "before a bundle was opened" in answers[2]["refused"].text)
    }

    @Test
    fun refusalsSayWhoseFaultItIs() {
        val cell = """"provider": "cpu", "threads": 1, "histories": [[0]]"""
        val answers = run(
            """{"do": "open", "bundle": "nowhere", $cell}""",
            """{"do": "open", "bundle": "nowhere", "provider": "cpu", "threads": 0, "histories": [[0]]}""",
            """{"do": "open", "bundle": "nowhere", "provider": "cpu", "threads": 1, "histories": []}""",
            """{"do": "phases", "bundle": "nowhere", $cell, "calls": 0}""",
            """{"do": "dance"}""",
            "[".repeat(100_000),
        )
        val words = listOf("nowhere is not a bundle", "0 threads", "no histories", "calls is 0", "'dance'", "nested")
        for ((answer, expected) in answers.zip(words)) {
            assertTrue(answer["refused"].text, expected in answer["refused"].text)
            assertEquals(2, answer["exit_code"].int)
        }
    }

    @Test
    fun foldersOfTheAnswersAreMade() {
        val answers = folder.root.resolve("files/deep/answers.jsonl")
        BenchFile.run(folder.newFile().apply { writeText("{}\n") }, answers)
        assertEquals(1, answers.readLines().size)
    }

    private fun run(vararg requests: String, listener: BenchListener = BenchListener { _, _, _ -> }) =
        folder.newFile().let { answers ->
            BenchFile.run(folder.newFile().apply { writeText(requests.joinToString("\n")) }, answers, listener)
            answers.readLines().map(Json::parse)
        }
}
