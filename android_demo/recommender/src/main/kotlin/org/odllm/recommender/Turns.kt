package org.odllm.recommender

import ai.onnxruntime.OrtException
import ai.onnxruntime.OrtSession
import java.util.concurrent.locks.ReentrantLock
import kotlin.concurrent.withLock

/**
 * Lets one call run at a time, in the order in which they came, and ends the one that is cancelled or all when closed.
 */
internal class Turns {
    private val lock = ReentrantLock()
    private val changed = lock.newCondition()
    private val queue = ArrayDeque<Any>()
    private val options = OrtSession.RunOptions()
    private var running: Any? = null
    private var isEnding = false // the options were told so

    @Volatile
    private var isClosed = false

    /** Calls that run or wait. */
    val length: Int get() = lock.withLock { queue.size }

    /**
     * Runs a call when it is its turn.
     *
     * @param call given the options that end it early.
     * @throws RequestCancelledException it was cancelled, or its thread interrupted while it waited.
     * @throws RecommenderClosedException all are closed.
     */
    fun <T> take(cancellation: Cancellation, call: (OrtSession.RunOptions) -> T): T {
        val turn = Any()
        val onCancel = Runnable { end(turn) }
        cancellation.tell(onCancel)
        try {
            begin(turn, cancellation)
            try {
                return call(options).also { if (cancellation.isCancelled) throw cancelled() }
            } catch (error: OrtException) {
                throw meaning(error, cancellation)
            } finally {
                lock.withLock {
                    running = null
                    queue.remove(turn)
                    changed.signalAll()
                }
            }
        } finally {
            cancellation.forget(onCancel)
        }
    }

    /**
     * Ends the running call, refuses the waiting ones, and returns when none runs any more; true for the first to ask.
     */
    fun close(): Boolean = lock.withLock {
        val isFirst = !isClosed
        isClosed = true
        running?.let(::endRunning)
        changed.signalAll()
        while (running != null) changed.awaitUninterruptibly()
        if (isFirst) options.close()
        isFirst
    }

    /** Throws [RecommenderClosedException] where it is closed. */
    fun checkOpen() {
        if (isClosed) throw closed()
    }

    private fun begin(turn: Any, cancellation: Cancellation) = lock.withLock {
        queue.addLast(turn)
        try {
            while (true) {
                if (isClosed) throw closed()
                if (cancellation.isCancelled) throw cancelled()
                if (running == null && queue.first() === turn) break
                changed.await()
            }
        } catch (error: Throwable) {
            queue.remove(turn)
            changed.signalAll()
            if (error !is InterruptedException) throw error
            Thread.currentThread().interrupt()
            throw RequestCancelledException("the thread was interrupted while it waited for another call to end")
        }
        running = turn
        if (isEnding) options.setTerminate(false)
        isEnding = false
    }

    private fun end(turn: Any) = lock.withLock {
        endRunning(turn)
        changed.signalAll()
    }

    private fun endRunning(turn: Any) {
        if (running !== turn || isEnding) return
        isEnding = true
        options.setTerminate(true)
    }

    private fun meaning(error: OrtException, cancellation: Cancellation): RecommenderException = when {
        cancellation.isCancelled -> cancelled()
        isClosed -> closed()
        else -> InferenceException(
            "ONNX Runtime ${RecommenderRuntime.version} failed: ${error.message}. Close other apps and ask again, or " +
                "install the bundle again.",
            error,
        )
    }

    private fun cancelled() = RequestCancelledException("the request was cancelled")

    private fun closed() = RecommenderClosedException("this recommender is closed; open the bundle again")
}
