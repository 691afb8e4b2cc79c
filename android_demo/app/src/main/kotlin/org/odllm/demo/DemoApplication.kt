package org.odllm.demo

import android.app.Application
import android.content.Context

/** The app's process: what outlives its screens. */
class DemoApplication : Application() {
    /** Everything that outlives a screen. */
    val parts: Parts get() = made.value

    private val made = lazy { Parts(this) }

    override fun onCreate() {
        super.onCreate()
        silenceRuntime()
    }

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        @Suppress("DEPRECATION") // newer systems do not send it, older ones do
        if (level >= TRIM_MEMORY_RUNNING_LOW && made.isInitialized()) parts.home.trimMemory()
    }
}

/** Return what outlives the screens of an app. */
fun partsOf(context: Context): Parts = (context.applicationContext as DemoApplication).parts
