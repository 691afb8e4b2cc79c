package org.odllm.demo.work

import java.io.File
import java.io.IOException

/** Write a small file so that it holds either its old or its new text, whenever the process ends. */
fun writeWhole(file: File, text: String) {
    file.parentFile?.mkdirs()
    val fresh = File(file.path + ".new")
    fresh.writeText(text)
    if (!fresh.renameTo(file)) throw IOException("$file cannot be replaced.")
}
