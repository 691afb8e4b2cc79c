package org.odllm.demo.settings

import android.content.ContentResolver
import android.net.Uri
import android.provider.DocumentsContract
import android.provider.DocumentsContract.Document
import java.io.IOException
import java.io.InputStream
import org.odllm.demo.bundles.BundleSource
import org.odllm.demo.bundles.FolderSource
import org.odllm.demo.bundles.SourceFile
import org.odllm.demo.bundles.ZipSource

/**
 * What the system's file picker returned, as something to copy from.
 *
 * @param resolver reads it.
 */
class PickedFiles(private val resolver: ContentResolver) {
    /** A folder. */
    fun folder(tree: Uri): BundleSource = FolderSource { filesIn(tree) }

    /** A ZIP file. */
    fun zip(file: Uri): BundleSource = ZipSource { open(file) }

    private fun filesIn(tree: Uri): List<SourceFile> {
        val folder = DocumentsContract.buildChildDocumentsUriUsingTree(tree, DocumentsContract.getTreeDocumentId(tree))
        val wanted = arrayOf(Document.COLUMN_DOCUMENT_ID, Document.COLUMN_DISPLAY_NAME, Document.COLUMN_MIME_TYPE)
        val rows = resolver.query(folder, wanted, null, null, null) ?: throw IOException("The folder cannot be listed.")
        return rows.use {
            val files = ArrayList<SourceFile>()
            while (rows.moveToNext()) {
                if (rows.getString(2) == Document.MIME_TYPE_DIR) continue
                val file = DocumentsContract.buildDocumentUriUsingTree(tree, rows.getString(0))
                files.add(SourceFile(rows.getString(1).orEmpty()) { open(file) })
            }
            files
        }
    }

    private fun open(file: Uri): InputStream =
        resolver.openInputStream(file) ?: throw IOException("$file cannot be opened.")
}
