package org.odllm.demo

import android.system.ErrnoException
import android.system.Os

private const val SWITCH = "ORT_DISABLE_TELEMETRY"

/**
 * Switch the runtime's reports to its maker off, before its library is loaded: it looks then and never again. The app
 * could not send them anyway, since it may not use the network.
 */
fun silenceRuntime() {
    try {
        Os.setenv(SWITCH, "1", true)
    } catch (failure: ErrnoException) {
        throw IllegalStateException("The runtime's reports cannot be switched off, so it is not started.", failure)
    }
}
