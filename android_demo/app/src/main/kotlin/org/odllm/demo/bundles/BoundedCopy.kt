package org.odllm.demo.bundles

import java.io.File
import java.io.InputStream
import java.util.concurrent.CancellationException
import org.odllm.demo.recommend.ProblemKind
import org.odllm.recommender.Cancellation

private const val MOST_FILES = 64
private const val BUFFER_BYTES = 1 shl 16
private val NAME = Regex("[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

/**
 * Writes the files of one bundle into a folder, within limits that hold whatever the source claims about itself.
 *
 * @param mostBytes of all files together.
 * @param progress hears the bytes written so far.
 */
class BoundedCopy(
    private val folder: File,
    private val mostBytes: Long,
    private val cancellation: Cancellation,
    private val progress: (bytes: Long) -> Unit,
) {
    private val names = HashSet<String>()
    private var bytes = 0L

    /** Write one file. */
    fun write(name: String, from: InputStream) {
        if (!NAME.matches(name)) {
            throw ImportException(ProblemKind.UNSAFE_ARCHIVE, "\"$name\" is no file name of a bundle.")
        }
        if (!names.add(name)) throw ImportException(ProblemKind.UNSAFE_ARCHIVE, "\"$name\" is there twice.")
        if (names.size > MOST_FILES) {
            throw ImportException(ProblemKind.NOT_A_BUNDLE, "More than $MOST_FILES files; a bundle has about ten.")
        }
        File(folder, name).outputStream().use { to ->
            val buffer = ByteArray(BUFFER_BYTES)
            while (true) {
                if (cancellation.isCancelled) throw CancellationException("Loading was stopped.")
                val count = from.read(buffer)
                if (count < 0) return
                count(count)
                to.write(buffer, 0, count)
            }
        }
    }

    private fun count(more: Int) {
        bytes += more
        if (bytes > mostBytes) {
            throw ImportException(ProblemKind.BUNDLE_TOO_LARGE, "It has more than the $mostBytes bytes that fit here.")
        }
        progress(bytes)
    }
}
