/** Answers the requests of `mobile_bench.protocol`: opens one bundle, runs, and tells. */

import { Refusal } from './errors.js';
import { browserFacts } from './facts.js';
import { Recommender } from './recommender.js';
import { Profile, heapBytes, runtimeVersion, usedAdapter } from './runtime.js';

/** Calls go on for so long before they count: wasm runs in a quick translation at first, and is compiled well meanwhile. */
const WARM_UP_MS = 2000;

/** What a worker remembers between requests: the bundle that it opened for timing. */
export class Protocol {
  #opened = null;

  /**
   * @param {object} request as `mobile_bench.protocol` writes it; `bundle` is an address.
   * @returns {Promise<object>} the reply; processor time and the memory of the process are for the host to add.
   */
  async answer(request) {
    switch (request.do) {
      case 'describe':
        return browserFacts();
      case 'load':
        return measureLoad(request);
      case 'inspect':
        return inspect(request);
      case 'memory':
        return measureMemory(request);
      case 'phases':
        return measurePhases(request);
      case 'open':
        this.#opened = await Opened.open(request);
        return warmUp(this.#opened, request.warm_up_calls);
    }
    if (!this.#opened) throw new Refusal(`a ${request.do} was asked for before a bundle was opened`);
    return timeCalls(this.#opened, request);
  }
}

/** A bundle and the histories to ask it about. */
class Opened {
  constructor(recommender, histories) {
    this.recommender = recommender;
    this.histories = histories;
  }

  static async open({ bundle, provider, threads, histories }, profile = false) {
    return new Opened(await Recommender.open(bundle, { provider, threads, profile }), histories);
  }

  /** Ask about one history; numbers beyond the last begin again at the first. */
  call(number) {
    return this.recommender.recommendRows(this.histories[number % this.histories.length]);
  }
}

async function measureLoad(request) {
  const cold = await openMs(request);
  const warm = [];
  for (let count = 0; count < request.warm_loads; count++) warm.push(await openMs(request));
  return { cold_ms: cold, page_cache: 'unknown', warm_ms: warm };
}

async function openMs(request) {
  const started = performance.now();
  const opened = await Opened.open(request);
  const elapsed = performance.now() - started;
  await opened.recommender.close();
  return elapsed;
}

async function inspect(request) {
  const profile = new Profile();
  profile.start();
  const { recommender, histories } = await Opened.open(request, true);
  await recommender.recommendRows(histories[0]);
  const nodes = recommender.endProfile(profile);
  const answers = [];
  for (const { history, blocked } of request.questions) {
    const { items, scores } = await recommender.recommendRows(history, blocked);
    answers.push({ items, scores: Array.from(scores) });
  }
  const adapter = await usedAdapter();
  return {
    nodes,
    answers,
    session_options: {
      'env.wasm.numThreads': String(request.threads),
      executionProviders: request.provider,
      graphOptimizationLevel: 'all',
      'session.disable_prepacking': recommender.manifest.graph.prepack ? '0' : '1',
    },
    onnxruntime: runtimeVersion(),
    runtime_build: adapter ? `onnxruntime-web, WebGPU on ${adapter.name}` : 'onnxruntime-web, wasm with SIMD',
  };
}

async function measureMemory(request) {
  const opened = await Opened.open(request);
  for (let number = 0; number < request.calls; number++) await opened.call(number);
  return { heap_bytes: heapBytes() };
}

/** Ask about histories from nothing, with their last item new, and with nothing new; by turns, after a warm-up. */
async function measurePhases(request) {
  const opened = await Opened.open(request);
  await warmUp(opened, 1);
  const { recommender, histories } = opened;
  const window = recommender.manifest.prompt.max_items;
  const [whole, incremental, repeated] = [[], [], []];
  for (let number = -1; number < request.calls; number++) {
    const history = histories.at(number % histories.length).slice(-window);
    const session = recommender.session();
    if (history.length > 1) await session.recommendRows(history.slice(0, -1));
    incremental.push(await callMs(() => session.recommendRows(history)));
    repeated.push(await callMs(() => session.recommendRows(history)));
    whole.push(await callMs(() => recommender.recommendRows(history)));
  }
  return { whole_ms: whole.slice(1), incremental_ms: incremental.slice(1), repeated_ms: repeated.slice(1) };
}

/** Make at least so many calls, and for as long as the engine still compiles; return the last one's time. */
async function warmUp(opened, calls) {
  const end = performance.now() + WARM_UP_MS;
  let last = 0;
  for (let number = 0; number < calls || performance.now() < end; number++) last = await callMs(() => opened.call(number));
  return { call_ms: last };
}

/** Time calls one by one: of a `round` those behind `first`, of a `soak` any. */
async function timeCalls(opened, { first = 0, calls }) {
  const wall = [];
  for (let number = first; number < first + calls; number++) wall.push(await callMs(() => opened.call(number)));
  return { wall_ms: wall };
}

async function callMs(act) {
  const started = performance.now();
  await act();
  return performance.now() - started;
}
