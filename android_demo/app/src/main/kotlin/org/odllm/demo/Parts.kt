package org.odllm.demo

import android.app.ActivityManager
import android.content.Context
import android.os.Build
import android.os.Handler
import android.os.Looper
import java.io.File
import java.util.concurrent.Executor
import java.util.concurrent.Executors
import org.odllm.demo.bundles.BundleImport
import org.odllm.demo.bundles.BundleStore
import org.odllm.demo.bundles.ChoiceFile
import org.odllm.demo.bundles.GuardedOpener
import org.odllm.demo.bundles.PackagedFiles
import org.odllm.demo.bundles.Shelf
import org.odllm.demo.bundles.ShippedBundles
import org.odllm.demo.bundles.Survey
import org.odllm.demo.home.HistoryFile
import org.odllm.demo.home.HomePresenter
import org.odllm.demo.recommend.Desk
import org.odllm.demo.recommend.LibraryOpener
import org.odllm.demo.recommend.ProcessMemory
import org.odllm.demo.recommend.precisionOf
import org.odllm.demo.selftest.SelfTestPresenter
import org.odllm.demo.settings.SettingsPresenter
import org.odllm.demo.work.Tasks
import org.odllm.recommender.MemorySource
import org.odllm.recommender.Provider

/** Everything that outlives a screen, put together once a process. For the main thread. */
class Parts(context: Context) {
    val home: HomePresenter
    val settings: SettingsPresenter
    val selfTest: SelfTestPresenter

    init {
        val own = context.noBackupFilesDir
        val tasks = Tasks(oneThread("model"), oneThread("quick"), mainThread())
        val choices = ChoiceFile(File(own, "choice.properties"))
        val opener = GuardedOpener(LibraryOpener(freeMemory(context), ProcessMemory(), missing()), choices)
        val store = BundleStore(File(own, "bundles"), ::precisionOf)
        val shipped = ShippedBundles(PackagedFiles(context.assets), store, File(own, "copied"), versionOf(context))
        val desk = Desk(opener, tasks)
        val survey = Survey(store, shipped, choices, opener)
        val shelf = Shelf(survey, store, BundleImport(store, opener), choices, desk, tasks)
        home = HomePresenter(shelf, desk, HistoryFile(File(own, "history.txt")), tasks)
        settings = SettingsPresenter(shelf, desk, Runtime.getRuntime().availableProcessors())
        selfTest = SelfTestPresenter(shelf, desk)
    }
}

private fun oneThread(name: String): Executor = Executors.newSingleThreadExecutor { work -> Thread(work, name) }

private fun mainThread(): Executor {
    val handler = Handler(Looper.getMainLooper())
    return Executor { work -> handler.post(work) }
}

private fun freeMemory(context: Context): MemorySource {
    val manager = context.getSystemService(Context.ACTIVITY_SERVICE) as ActivityManager
    return MemorySource { ActivityManager.MemoryInfo().also(manager::getMemoryInfo).availMem }
}

/** The neural networks API is there from Android 8.1 on; before, asking for it would end the process. */
private fun missing(): Set<Provider> =
    if (Build.VERSION.SDK_INT < Build.VERSION_CODES.O_MR1) setOf(Provider.NNAPI) else emptySet()

/** Another version of the app, even one of the same name, may bring other bundles. */
private fun versionOf(context: Context): String {
    val info = ownPackage(context)
    return "${info.versionName} ${info.lastUpdateTime}"
}
