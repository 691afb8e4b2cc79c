package org.odllm.demo.work

import org.odllm.demo.recommend.Problem
import org.odllm.demo.recommend.problemOf

/** How a piece of work ended. */
sealed class Outcome<out T> {
    /** With what was asked for. */
    data class Done<T>(val value: T) : Outcome<T>()

    /** Without it, and why. */
    data class Failed(val problem: Problem) : Outcome<Nothing>()
}

/**
 * Do a piece of work; whatever it throws becomes words for the screen.
 *
 * Besides exceptions these are a native library that is not there and memory that ran out while a bundle was read: the
 * app goes on without its answer.
 */
fun <T> attempt(work: () -> T): Outcome<T> =
    try {
        Outcome.Done(work())
    } catch (failure: Exception) {
        Outcome.Failed(problemOf(failure))
    } catch (failure: LinkageError) {
        Outcome.Failed(problemOf(failure))
    } catch (failure: OutOfMemoryError) {
        Outcome.Failed(problemOf(failure))
    }
