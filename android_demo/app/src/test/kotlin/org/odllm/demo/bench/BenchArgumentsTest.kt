package org.odllm.demo.bench

import java.io.File
import java.nio.file.Files
import org.junit.Assert.assertEquals
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder

class BenchArgumentsTest {
    @get:Rule
    val folder = TemporaryFolder()

    private val files: File by lazy { folder.newFolder("files") }
    private val requests: File by lazy { folder.newFile("requests.jsonl") }

    private fun look(requests: String?, answers: String?) = BenchArguments.of(requests, answers, files)

    private fun faultOf(requests: String?, answers: String?) = (look(requests, answers) as BenchArguments.Refused).fault

    @Test
    fun `answers in the app's folder are accepted`() {
        val answers = File(files, "answers.jsonl")
        assertEquals(BenchArguments.Accepted(requests, answers.canonicalFile), look(requests.path, answers.path))
    }

    @Test
    fun `the same folder under another name is accepted`() {
        val link = Files.createSymbolicLink(folder.root.toPath().resolve("sdcard"), files.toPath())
        val answers = link.resolve("answers.jsonl").toString()
        val expected = BenchArguments.Accepted(requests, File(files.canonicalFile, "answers.jsonl"))
        assertEquals(expected, look(requests.path, answers))
    }

    @Test
    fun `missing arguments are named`() {
        assertEquals(BenchFault.NO_REQUESTS, faultOf(null, "x"))
        assertEquals(BenchFault.NO_ANSWERS, faultOf(requests.path, ""))
    }

    @Test
    fun `requests that are not there are named`() {
        val absent = File(folder.root, "absent").path
        assertEquals(BenchArguments.Refused(BenchFault.UNREADABLE_REQUESTS, absent), look(absent, "x"))
    }

    @Test
    fun `answers elsewhere are refused`() {
        val beside = listOf("${files.path}/../answers", "${files.path}-2/answers", files.path)
        for (path in beside + "/data/local/tmp/answers") {
            assertEquals(path, BenchFault.ANSWERS_OUTSIDE, faultOf(requests.path, path))
        }
    }
}
