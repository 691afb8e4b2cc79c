package org.odllm.recommender

/**
 * A caller's way to end a call: before it, while it waits for its turn, or while it computes. One may serve several
 * calls; once cancelled it stays so. A call that it ends throws [RequestCancelledException].
 */
public class Cancellation {
    private val listeners = LinkedHashSet<Runnable>()

    /** Whether [cancel] was called. */
    @Volatile
    public var isCancelled: Boolean = false
        private set

    /** Ends the calls that were given this object; from any thread, at once, without waiting for them. */
    public fun cancel() {
        if (this === NEVER) return
        val told = synchronized(listeners) {
            isCancelled = true
            listeners.toList()
        }
        told.forEach { it.run() }
    }

    /** Has a listener told of the cancelling, until [forget]. */
    internal fun tell(listener: Runnable) {
        if (this !== NEVER) synchronized(listeners) { listeners.add(listener) }
    }

    internal fun forget(listener: Runnable) {
        if (this !== NEVER) synchronized(listeners) { listeners.remove(listener) }
    }

    public companion object {
        /** Cancels nothing: [cancel] does not do anything to it. */
        @JvmField
        public val NEVER: Cancellation = Cancellation()
    }
}
