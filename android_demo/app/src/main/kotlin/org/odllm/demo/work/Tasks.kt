package org.odllm.demo.work

import java.util.concurrent.Executor

/**
 * Where work is done.
 *
 * @property model one thread, for everything that touches the open bundle or copies one: one thing after the other.
 * @property quick one thread, for searches and small files: typing never waits for the model.
 * @property main the thread of the screens; every state changes there and nowhere else.
 */
class Tasks(val model: Executor, val quick: Executor, val main: Executor)
