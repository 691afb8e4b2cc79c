package org.odllm.demo.recommend

import java.io.File
import java.io.IOException

private const val BYTES_OF_KIB = 1024L

/**
 * The resident memory of this process, as Linux tells it.
 *
 * @param status the kernel's file about it.
 */
class ProcessMemory(private val status: File = File("/proc/self/status")) : MemoryMeter {
    override fun residentBytes(): Long? =
        try {
            status.useLines { lines -> lines.firstOrNull { it.startsWith("VmRSS:") } }
                ?.filter { it in '0'..'9' }
                ?.toLongOrNull()
                ?.times(BYTES_OF_KIB)
        } catch (failure: IOException) {
            null // some devices hide it; the figure is left out
        }
}
