package org.odllm.demo.settings

import android.app.Activity
import android.app.AlertDialog
import android.view.View
import android.widget.RadioButton
import android.widget.Spinner
import android.widget.TextView
import org.odllm.demo.R
import org.odllm.demo.bundles.Origin
import org.odllm.demo.bundles.StoredBundle
import org.odllm.demo.home.Stage
import org.odllm.demo.views.RowList
import org.odllm.demo.views.StatusView
import org.odllm.demo.views.Words
import org.odllm.demo.views.showIf
import org.odllm.demo.views.showText

/**
 * Shows a [SettingsState] and tells the presenter what was done.
 *
 * @param pickFolder lets the user pick a folder.
 * @param pickZip lets the user pick a ZIP file.
 */
class SettingsView(
    private val activity: Activity,
    private val presenter: SettingsPresenter,
    pickFolder: () -> Unit,
    pickZip: () -> Unit,
) {
    private val words = Words(activity.resources)
    private val status = StatusView(activity, words, presenter::retry)
    private val bundles: RowList = activity.findViewById(R.id.bundles)
    private val facts: TextView = activity.findViewById(R.id.bundle_facts)
    private val storage: TextView = activity.findViewById(R.id.storage)
    private val provider =
        Choices(activity.findViewById<Spinner>(R.id.provider), words::provider, presenter::chooseProvider)
    private val threads =
        Choices(activity.findViewById<Spinner>(R.id.threads), words::number, presenter::chooseThreads)
    private val loadFolder: View = activity.findViewById(R.id.load_folder)
    private val loadZip: View = activity.findViewById(R.id.load_zip)
    private val loadingCard: View = activity.findViewById(R.id.loading_card)
    private val loading: TextView = activity.findViewById(R.id.loading)
    private var question: AlertDialog? = null

    init {
        loadFolder.setOnClickListener { pickFolder() }
        loadZip.setOnClickListener { pickZip() }
        activity.findViewById<View>(R.id.stop).setOnClickListener { presenter.stopLoading() }
    }

    /** Show a state. */
    fun render(state: SettingsState) {
        status.render(state.stage, state.problem)
        bundles.show(state.bundles, R.layout.row_bundle) { row, shown, _ -> show(row, shown, state.isFree) }
        facts.showText(factsOf(state))
        storage.showText(words.text(R.string.storage, words.size(state.storedBytes)))
        provider.show(state.providers, state.provider, state.isFree)
        threads.show(state.threadChoices, state.threads, state.isFree)
        for (button in listOf(loadFolder, loadZip)) button.isEnabled = state.isFree
        loadingCard.showIf(state.loadedBytes != null)
        loading.showText(state.loadedBytes?.let { words.text(R.string.loading, words.size(it)) }.orEmpty())
        ask(state.doomed)
    }

    /** Take away what floats above the screen; it comes back with the state. */
    fun close() {
        question?.setOnCancelListener(null)
        question?.dismiss()
        question = null
    }

    private fun factsOf(state: SettingsState): String {
        val open = (state.stage as? Stage.Ready)?.facts
        if (state.bundles.isEmpty()) return words.text(R.string.no_bundles)
        if (open == null) return ""
        return words.text(
            R.string.open_facts,
            words.items(open),
            open.precision,
            open.window,
            words.provider(open.used),
            words.size(open.expectedMemoryBytes),
        )
    }

    private fun show(row: View, shown: BundleRow, isFree: Boolean) {
        val bundle = shown.bundle
        val origin = words.text(if (bundle.origin == Origin.SHIPPED) R.string.shipped else R.string.loaded)
        val choose = row.findViewById<RadioButton>(R.id.choose)
        val size = words.size(bundle.bytes)
        choose.text = bundle.precision?.let { words.text(R.string.bundle_row_precision, bundle.name, it, size, origin) }
            ?: words.text(R.string.bundle_row, bundle.name, size, origin)
        choose.isChecked = shown.isChosen
        choose.isEnabled = isFree
        choose.setOnClickListener { presenter.chooseBundle(bundle.key) }
        val delete = row.findViewById<View>(R.id.delete)
        delete.showIf(shown.canDelete)
        delete.isEnabled = isFree
        delete.contentDescription = words.text(R.string.delete_bundle, bundle.name)
        delete.setOnClickListener { presenter.askToDelete(bundle.key) }
    }

    private fun ask(doomed: StoredBundle?) {
        if (doomed == null || question != null) return
        question = AlertDialog.Builder(activity)
            .setMessage(words.text(R.string.delete_question, doomed.name, words.size(doomed.bytes)))
            .setPositiveButton(R.string.delete) { _, _ -> answer(true) }
            .setNegativeButton(R.string.keep) { _, _ -> answer(false) }
            .setOnCancelListener { answer(false) }
            .show()
    }

    private fun answer(isYes: Boolean) {
        question = null
        presenter.answerDelete(isYes)
    }
}
