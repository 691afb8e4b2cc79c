package org.odllm.demo.bundles

import java.io.File
import java.util.concurrent.Callable
import java.util.concurrent.Executors
import org.junit.Assert.assertEquals
import org.junit.Rule
import org.junit.Test
import org.junit.rules.TemporaryFolder
import org.odllm.demo.recommend.RunChoice
import org.odllm.recommender.Provider

class ChoiceFileTest {
    @get:Rule
    val folder = TemporaryFolder()

    @Test
    fun `a choice made while another provider starts is kept, and so is the note`() {
        val choices = ChoiceFile(File(folder.root, "choice"))
        val threads = Executors.newFixedThreadPool(2)
        try {
            for (round in 1..200) {
                val note = if (round % 2 == 0) null else Provider.NNAPI
                val chosen = threads.submit(Callable { choices.write(RunChoice("shipped/films", threads = round)) })
                val noted = threads.submit(Callable { choices.starting = note })
                chosen.get()
                noted.get()
                assertEquals(round, choices.read().threads)
                assertEquals(note, choices.starting)
            }
        } finally {
            threads.shutdownNow()
        }
    }
}
