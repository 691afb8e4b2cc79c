package org.odllm.recommender.bench

import java.io.Closeable
import org.odllm.recommender.InferenceException
import org.odllm.recommender.Json
import org.odllm.recommender.JsonException
import org.odllm.recommender.JsonValue
import org.odllm.recommender.JsonWriter
import org.odllm.recommender.NotEnoughMemoryException
import org.odllm.recommender.ProviderUnavailableException
import org.odllm.recommender.RecommenderException

/**
 * Measures bundles: answers each request of `mobile_bench/protocol.py`, one JSON line, with one JSON line. It keeps
 * what was opened for timing; the other requests open for themselves. For one thread.
 */
public class BenchWorker : Closeable {
    private var timed: TimedBundle? = null

    /**
     * Returns the answer to a request. A request that cannot be met is answered with words and an exit code; nothing is
     * thrown.
     */
    public fun answer(request: String): String = try {
        "{\"reply\":${reply(Json.parse(request))}}"
    } catch (refusal: Refusal) {
        refused(refusal.message, refusal.exitCode)
    } catch (error: JsonException) {
        refused(error.message, Refusal.BAD_INPUT)
    } catch (error: RecommenderException) {
        refused(error.message, exitCode(error))
    } catch (_: OutOfMemoryError) {
        refused("the memory is not enough. Close other apps, or take a smaller bundle.", Refusal.DEVICE)
    } catch (error: Throwable) { // whatever it is, the next request is to be answered
        refused(error.toString(), Refusal.DEVICE)
    }

    /** Closes what was opened for timing. */
    override fun close() {
        timed?.close()
        timed = null
    }

    private fun reply(request: JsonValue): String = when (val what = request["do"].text) {
        "load" -> Passes.load(request)
        "inspect" -> Passes.inspect(request)
        "memory" -> Passes.memory(request)
        "phases" -> Passes.phases(request)
        "open" -> open(request)
        "round" -> opened(what).round(request)
        "soak" -> opened(what).soak(request)
        else -> throw Refusal("this app does not know the request '$what'. Build it anew.", Refusal.BAD_INPUT)
    }

    private fun open(request: JsonValue): String {
        close()
        return TimedBundle.open(request).also { timed = it }.reply()
    }

    private fun opened(what: String): TimedBundle =
        timed ?: throw Refusal("a $what was asked for before a bundle was opened", Refusal.BAD_INPUT)

    private fun exitCode(error: RecommenderException) = when (error) {
        is NotEnoughMemoryException, is ProviderUnavailableException, is InferenceException -> Refusal.DEVICE
        else -> Refusal.BAD_INPUT
    }

    private fun refused(words: String?, exitCode: Int): String = JsonWriter().beginObject()
        .name("reply").value(null)
        .name("refused").value(words.orEmpty())
        .name("exit_code").value(exitCode.toLong())
        .endObject().toString()
}
