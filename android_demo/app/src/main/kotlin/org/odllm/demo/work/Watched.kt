package org.odllm.demo.work

import java.io.Closeable

/**
 * A value that screens and presenters follow. To be used on the main thread only.
 *
 * @param initial what it is before anything happened.
 */
class Watched<T>(initial: T) {
    private val watchers = ArrayList<(T) -> Unit>()

    /** What it is now. */
    var value: T = initial
        private set

    /** Take another value and tell it; an equal one is no news. */
    fun set(next: T) {
        if (next == value) return
        value = next
        for (watcher in watchers.toList()) {
            if (watcher in watchers) watcher(next)
        }
    }

    /** Take a value made from the present one. */
    fun update(change: (T) -> T) = set(change(value))

    /** Tell `watcher` the value now and whenever it changes, until what comes back is closed. */
    fun watch(watcher: (T) -> Unit): Closeable {
        watchers.add(watcher)
        watcher(value)
        return Closeable { watchers.remove(watcher) }
    }
}
