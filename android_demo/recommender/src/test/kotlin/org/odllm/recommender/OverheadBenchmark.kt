package org.odllm.recommender

import ai.onnxruntime.OnnxJavaType
import ai.onnxruntime.OnnxTensor
import java.io.File
import java.lang.management.ManagementFactory

/**
 * What the library adds to the runtime: `Recommender.recommend` beside `OrtSession.run` with tensors that are ready.
 * Rounds of both alternate; medians over rounds of processor time and wall time a call, on one thread.
 *
 * Arguments: the bundle's folder, rounds (401), calls a round (5), items of the history (20).
 */
internal object OverheadBenchmark {
    private val threads = ManagementFactory.getThreadMXBean()

    private class Round(val cpuNanos: Double, val wallNanos: Double)

    @JvmStatic
    fun main(arguments: Array<String>) {
        val bundle = File(arguments[0])
        val given = arguments.drop(1).map { it.toInt() }
        val (rounds, calls, length) = given + listOf(401, 5, 20).drop(given.size)
        val bare = ArrayList<Round>()
        val whole = ArrayList<Round>()
        Recommender.open(bundle).use { recommender ->
            val catalog = recommender.catalog
            val rows = LongArray(length) { (it * 7919L) % catalog.size }
            val history = rows.map { catalog.item(it.toInt()).id }
            val manifest = ManifestReader.read(bundle)
            val session = GraphSession(manifest, RecommenderOptions.DEFAULT, Provider.CPU).open("recommend.onnx")
            val feed = feed(manifest, catalog.arrays, rows)
            val wanted = linkedSetOf("items", "scores")
            repeat(rounds + WARM_UP) { round ->
                val first = round(calls) { session.run(feed, wanted).close() }
                val second = round(calls) { recommender.recommend(history) }
                if (round >= WARM_UP) bare += first
                if (round >= WARM_UP) whole += second
            }
            session.close()
        }
        report("processor time", bare.map { it.cpuNanos }, whole.map { it.cpuNanos })
        report("wall time", bare.map { it.wallNanos }, whole.map { it.wallNanos })
        System.out.flush()
        Runtime.getRuntime().halt(0)
    }

    private fun round(calls: Int, call: () -> Unit): Round {
        val (cpu, wall) = threads.currentThreadCpuTime to System.nanoTime()
        repeat(calls) { call() }
        val (cpuNanos, wallNanos) = threads.currentThreadCpuTime - cpu to System.nanoTime() - wall
        return Round(cpuNanos / calls.toDouble(), wallNanos / calls.toDouble())
    }

    private fun feed(manifest: Manifest, catalog: CatalogArrays, rows: LongArray): Map<String, OnnxTensor> {
        val (layers, two, heads, width) = manifest.graph.cacheSizes.map { it.toLong() }
        val feed = catalog.names.associateWith { Tensors.of(catalog.bytes(it), catalog.shape(it), OnnxJavaType.INT32) }
        return feed + mapOf(
            "history" to RowsInput(rows.size).of(rows),
            "blocked" to RowsInput(1).of(LongArray(0)),
            "kv_cache" to Tensors.of(Tensors.buffer(0), longArrayOf(layers, two, heads, 0, width), OnnxJavaType.FLOAT),
            "cached_tokens" to RowsInput(1).of(longArrayOf(0)),
            "return_cache" to Tensors.of(Tensors.buffer(1), longArrayOf(1), OnnxJavaType.BOOL),
        )
    }

    private fun report(what: String, bare: List<Double>, whole: List<Double>) {
        val ratios = bare.zip(whole) { one, other -> other / one - 1 }
        println(
            "%s a call: OrtSession.run %.1f us, recommend %.1f us, median of the rounds' overheads %+.2f %%"
                .format(what, median(bare) / 1e3, median(whole) / 1e3, 100 * median(ratios)),
        )
    }

    private fun median(values: List<Double>) = values.sorted()[values.size / 2]

    private const val WARM_UP = 200
}
