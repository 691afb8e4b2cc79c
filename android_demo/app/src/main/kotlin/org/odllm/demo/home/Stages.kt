package org.odllm.demo.home

import org.odllm.demo.recommend.DeskState

/** Return how far the bundle on the desk is. */
fun stageOf(state: DeskState): Stage =
    when (state) {
        is DeskState.Open -> Stage.Ready(state.facts, state.openMillis)
        is DeskState.Failed -> Stage.Failed(state.problem)
        DeskState.Opening -> Stage.Opening
        DeskState.Closed -> Stage.Preparing
    }
