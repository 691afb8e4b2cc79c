package org.odllm.recommender

import java.io.File
import java.io.FileInputStream
import java.security.MessageDigest

/** SHA-256 as the manifest writes it: 64 lower-case hexadecimal digits. */
internal object Sha256 {
    private const val CHUNK_BYTES = 1 shl 16
    private const val DIGITS = "0123456789abcdef"

    fun digest(): MessageDigest = MessageDigest.getInstance("SHA-256")

    /** Returns the hash of a file's bytes, read in chunks. */
    fun of(file: File): String {
        val digest = digest()
        val chunk = ByteArray(CHUNK_BYTES)
        FileInputStream(file).use { stream ->
            while (true) {
                val count = stream.read(chunk)
                if (count < 0) break
                digest.update(chunk, 0, count)
            }
        }
        return hex(digest.digest())
    }

    fun hex(bytes: ByteArray): String {
        val out = StringBuilder(2 * bytes.size)
        for (byte in bytes) out.append(DIGITS[byte.toInt() shr 4 and 15]).append(DIGITS[byte.toInt() and 15])
        return out.toString()
    }

    /** Returns whether a text could be a hash. */
    fun isHash(text: String): Boolean = text.length == 64 && text.all { it in DIGITS }
}
