package org.odllm.demo

import java.io.File
import java.io.FileNotFoundException
import java.io.InputStream
import org.odllm.demo.bundles.AssetTree
import org.odllm.demo.bundles.BundleImport
import org.odllm.demo.bundles.BundleStore
import org.odllm.demo.bundles.ChoiceFile
import org.odllm.demo.bundles.GuardedOpener
import org.odllm.demo.bundles.MANIFEST
import org.odllm.demo.bundles.Shelf
import org.odllm.demo.bundles.ShippedBundles
import org.odllm.demo.bundles.Survey
import org.odllm.demo.home.HistoryFile
import org.odllm.demo.home.HomePresenter
import org.odllm.demo.recommend.BundleOpener
import org.odllm.demo.recommend.Desk
import org.odllm.demo.selftest.SelfTestPresenter
import org.odllm.demo.settings.SettingsPresenter
import org.odllm.demo.work.Tasks

/**
 * The app's process on a device without screens, its threads driven by the test. Another one on the same storage is the
 * app after its process was ended.
 */
class Device(storage: File, val opener: BundleOpener, assets: AssetTree) {
    val model = HandExecutor()
    val quick = HandExecutor()
    val main = HandExecutor()
    val history = HistoryFile(File(storage, "history.txt"))
    val choices = ChoiceFile(File(storage, "choice.properties"))
    val store = BundleStore(File(storage, "bundles"))

    private val tasks = Tasks(model, quick, main)
    private val guarded = GuardedOpener(opener, choices)
    val desk = Desk(guarded, tasks)
    private val shipped = ShippedBundles(assets, store, File(storage, "copied"), "1")
    private val survey = Survey(store, shipped, choices, guarded)
    val shelf = Shelf(survey, store, BundleImport(store, guarded), choices, desk, tasks)
    val home = HomePresenter(shelf, desk, history, tasks)
    val settings = SettingsPresenter(shelf, desk, cores = 4)
    val selfTest = SelfTestPresenter(shelf, desk)

    /** Run everything that waits, until nothing does. */
    fun settle() {
        while (model.drain() || quick.drain() || main.drain()) continue
    }

    /** Open the first screen and wait until all is quiet. */
    fun started(): Device = apply {
        home.enter()
        home.start()
        settle()
    }
}

/** Files of an app, by path. */
class MapAssets(private val files: Map<String, String>) : AssetTree {
    override fun list(path: String): List<String> =
        files.keys.filter { it.startsWith("$path/") }.map { it.removePrefix("$path/").substringBefore('/') }.distinct()

    override fun open(path: String): InputStream =
        files[path]?.byteInputStream() ?: throw FileNotFoundException("$path is not among the app's files")
}

/** The bundles that most tests begin with. */
val FILMS = MapAssets(
    mapOf(
        "bundles/films/$MANIFEST" to "Alien,Brazil,Casablanca,Dune,Elf",
        "bundles/films/recommend.onnx" to "graph",
        "bundles/films-int8/$MANIFEST" to "Alien,Brazil,Zulu",
    ),
)
