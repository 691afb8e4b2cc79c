package org.odllm.demo.bundles

import java.io.File
import java.io.StringReader
import java.io.StringWriter
import java.util.Properties
import org.odllm.demo.recommend.RunChoice
import org.odllm.demo.work.writeWhole
import org.odllm.recommender.Provider

/**
 * Remembers the choice in the app's own storage, and whether a bundle was being opened when the app ended.
 * For several threads: the choice is written on one while a bundle is opened on another.
 *
 * @param file holds both.
 */
class ChoiceFile(private val file: File) {
    /** Return what was chosen last; the first bundle on one thread of the processor where nothing was. */
    fun read(): RunChoice {
        val kept = properties()
        val provider = Provider.values().firstOrNull { it.name == kept.getProperty(PROVIDER) } ?: Provider.CPU
        val threads = kept.getProperty(THREADS)?.toIntOrNull()?.coerceAtLeast(1) ?: 1
        return RunChoice(kept.getProperty(BUNDLE), provider, threads)
    }

    /** Remember a choice. */
    @Synchronized
    fun write(choice: RunChoice) = change {
        if (choice.bundle == null) remove(BUNDLE) else setProperty(BUNDLE, choice.bundle)
        setProperty(PROVIDER, choice.provider.name)
        setProperty(THREADS, choice.threads.toString())
    }

    /** The provider that was being started and has not come up yet, or null. A driver may end the whole process. */
    var starting: Provider?
        get() = Provider.values().firstOrNull { it.name == properties().getProperty(STARTING) }
        @Synchronized
        set(provider) = change {
            if (provider == null) remove(STARTING) else setProperty(STARTING, provider.name)
        }

    private fun change(edit: Properties.() -> Unit) {
        val text = StringWriter()
        properties().apply(edit).store(text, null)
        writeWhole(file, text.toString())
    }

    private fun properties() = Properties().apply { if (file.isFile) load(StringReader(file.readText())) }
}

private const val BUNDLE = "bundle"
private const val PROVIDER = "provider"
private const val THREADS = "threads"
private const val STARTING = "starting"
