package org.odllm.demo.settings

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.Intent
import android.os.Bundle
import android.widget.Toast
import android.widget.Toolbar
import java.io.Closeable
import org.odllm.demo.R
import org.odllm.demo.partsOf
import org.odllm.demo.views.showEdgeToEdge

private const val PICK_FOLDER = 1
private const val PICK_ZIP = 2
private val ZIP_TYPES = arrayOf("application/zip", "application/x-zip-compressed", "application/octet-stream")

/** The settings: bundle, provider, threads, and bringing another bundle. */
class SettingsActivity : Activity() {
    private lateinit var presenter: SettingsPresenter
    private lateinit var view: SettingsView
    private var watching: Closeable? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        presenter = partsOf(this).settings
        showEdgeToEdge(R.layout.settings)
        findViewById<Toolbar>(R.id.bar).setNavigationOnClickListener { finish() }
        view = SettingsView(this, presenter, ::pickFolder, ::pickZip)
    }

    override fun onStart() {
        super.onStart()
        presenter.start()
        watching = presenter.state.watch(view::render)
    }

    override fun onStop() {
        watching?.close()
        view.close()
        if (!isChangingConfigurations) presenter.leave()
        super.onStop()
    }

    override fun onActivityResult(requestCode: Int, resultCode: Int, data: Intent?) {
        super.onActivityResult(requestCode, resultCode, data)
        val picked = data?.data ?: return
        if (resultCode != RESULT_OK) return
        val files = PickedFiles(contentResolver)
        presenter.load(if (requestCode == PICK_FOLDER) files.folder(picked) else files.zip(picked))
    }

    private fun pickFolder() = pick(Intent(Intent.ACTION_OPEN_DOCUMENT_TREE), PICK_FOLDER)

    private fun pickZip() {
        val wanted = Intent(Intent.ACTION_OPEN_DOCUMENT)
            .addCategory(Intent.CATEGORY_OPENABLE)
            .setType("*/*")
            .putExtra(Intent.EXTRA_MIME_TYPES, ZIP_TYPES)
        pick(wanted, PICK_ZIP)
    }

    private fun pick(intent: Intent, request: Int) {
        try {
            startActivityForResult(intent, request)
        } catch (missing: ActivityNotFoundException) {
            Toast.makeText(this, R.string.no_picker, Toast.LENGTH_LONG).show()
        }
    }
}
