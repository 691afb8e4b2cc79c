package org.odllm.demo

import java.util.ArrayDeque
import java.util.concurrent.Executor

/** A thread that a test drives: work waits until it is asked for. */
class HandExecutor : Executor {
    private val waiting = ArrayDeque<Runnable>()

    /** How much waits. */
    val size: Int get() = waiting.size

    override fun execute(work: Runnable) {
        waiting.add(work)
    }

    /** Run the oldest piece of work. */
    fun step() = waiting.remove().run()

    /** Run all work, also what it brings; return whether there was some. */
    fun drain(): Boolean {
        val hadWork = waiting.isNotEmpty()
        while (waiting.isNotEmpty()) step()
        return hadWork
    }
}
