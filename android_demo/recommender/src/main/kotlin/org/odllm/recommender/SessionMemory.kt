package org.odllm.recommender

/** What a session keeps between its calls: the window that was read, and the keys and values of its tokens. */
internal class SessionMemory private constructor(private var window: IntArray, private var content: CacheContent?) {
    private var isClosed = false

    constructor() : this(IntArray(0), null)

    /**
     * Has a call made with what can be used again of the one before it.
     *
     * @param window code rows of the items that are read, `levels` an item: what the keys and values depend on, so that
     *   it stays good when an update gives items other rows.
     */
    fun ask(window: IntArray, prompt: PromptFacts, call: (KeptCache) -> Ranked): Ranked {
        val held = synchronized(this) {
            if (isClosed) throw RecommenderClosedException("this session is closed; start another one")
            content?.retained()
        }
        try {
            val shared = if (held == null) 0 else shared(window) / prompt.levels
            val cache = KeptCache(held, if (shared == 0) 0 else prompt.reusableTokens(shared))
            val found = try {
                call(cache)
            } catch (error: Throwable) {
                if (cache.content !== held) cache.content?.release()
                throw error
            }
            cache.content?.let { next -> if (next !== held) keep(window, next) }
            return found
        } finally {
            held?.release()
        }
    }

    /** Returns one that goes on from here by itself; the keys and values are shared, not copied. */
    @Synchronized
    fun copy(): SessionMemory {
        if (isClosed) throw RecommenderClosedException("this session is closed; start another one")
        return SessionMemory(window, content?.retained())
    }

    /** Lets go of what is kept; a call that is running goes on with it. */
    @Synchronized
    fun close() {
        isClosed = true
        content?.release()
        content = null
    }

    @Synchronized
    private fun keep(window: IntArray, next: CacheContent) {
        if (isClosed) return next.release()
        content?.release()
        content = next
        this.window = window
    }

    @Synchronized
    private fun shared(other: IntArray): Int {
        val length = minOf(window.size, other.size)
        for (at in 0 until length) if (window[at] != other[at]) return at
        return length
    }
}
