package org.odllm.demo.bundles

import java.io.File
import org.odllm.demo.recommend.Answer
import org.odllm.demo.recommend.BundleOpener
import org.odllm.demo.recommend.OpenBundle
import org.odllm.demo.recommend.RunChoice
import org.odllm.demo.recommend.TestOutcome
import org.odllm.demo.work.attempt
import org.odllm.recommender.Cancellation
import org.odllm.recommender.Provider

/**
 * Notes what is being started, so that a driver that ends the process does so once and not at every start of the app.
 *
 * @param opener does the work.
 * @param choices keeps the note.
 */
class GuardedOpener(private val opener: BundleOpener, private val choices: ChoiceFile) : BundleOpener by opener {
    override fun open(folder: File, choice: RunChoice): OpenBundle {
        if (choice.provider == Provider.CPU) return opener.open(folder, choice)
        val opened = noting(choice.provider) { opener.open(folder, choice) }
        return if (opened.facts.used == choice.provider) Unproven(opened, choice.provider) else opened
    }

    private fun <T> noting(provider: Provider, work: () -> T): T {
        choices.starting = provider
        try {
            return work()
        } finally {
            attempt { choices.starting = null } // a note that stays costs a choice, an exception the answer
        }
    }

    /** Until one question was answered the provider is still being started: some drivers give way only then. */
    private inner class Unproven(private val bundle: OpenBundle, private val provider: Provider) : OpenBundle by bundle {
        private var isProven = false

        override fun ask(history: List<String>, cancellation: Cancellation): Answer =
            proving { bundle.ask(history, cancellation) }

        override fun selfTest(cancellation: Cancellation, progress: (done: Int, total: Int) -> Unit): TestOutcome =
            proving { bundle.selfTest(cancellation, progress) }

        private fun <T> proving(work: () -> T): T {
            if (isProven) return work()
            return noting(provider, work).also { isProven = true }
        }
    }
}
