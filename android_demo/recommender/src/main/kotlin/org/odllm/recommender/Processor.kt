package org.odllm.recommender

import java.io.File
import java.io.IOException

/** What of the processor decides how a graph is opened. */
internal object Processor {
    private val x86Names = setOf("x86_64", "amd64")

    /**
     * Whether it multiplies uint8 and int8 without overflow: Arm ones, and x86-64 with VNNI. Where the system does not
     * tell, it is taken not to.
     */
    val hasExactProducts: Boolean by lazy {
        System.getProperty("os.arch") !in x86Names || try {
            File("/proc/cpuinfo").useLines { lines -> lines.any { "vnni" in it } }
        } catch (_: IOException) {
            false
        }
    }
}
