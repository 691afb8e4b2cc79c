/** A bundle of form `loop` or `unrolled`: one graph answers a call. */

import { WEIGHTS } from './bundle.js';
import { Refusal } from './errors.js';
import { openGraph, refusalOf } from './runtime.js';

/** What every engine is asked and answers; item rows are plain numbers.
 *
 * @typedef {object} Call
 * @property {number[]} history item rows, oldest first.
 * @property {number[]} blocked item rows that must not come back.
 * @property {?{data: Float32Array, dims: number[]}} cache what an earlier call returned.
 * @property {number} cachedTokens how many of its tokens this prompt begins with.
 * @property {boolean} returnCache whether the cache is wanted.
 */

export class GraphEngine {
  #ort;
  #session;
  #constant;
  #emptyCache;

  constructor(ort, session, manifest, catalog) {
    this.#ort = ort;
    this.#session = session;
    const [layers, two, heads, size] = manifest.graph.kv_cache;
    this.#emptyCache = { data: new Float32Array(0), dims: [layers, two, heads, 0, size] };
    this.#constant = catalogTensors(ort, catalog);
  }

  /** @returns {Promise<GraphEngine>} */
  static async open(ort, { manifest, files }, catalog, options) {
    const graph = files.get('recommend.onnx');
    const session = await openGraph(ort, graph, files.get(WEIGHTS), options);
    const engine = new GraphEngine(ort, session, manifest, catalog);
    const given = new Set([...Object.keys(engine.#constant), ...CALL_INPUTS]);
    const wrong = session.inputNames.filter((name) => !given.has(name));
    wrong.push(...[...given, 'items', 'scores'].filter((name) => !known(session).has(name)));
    if (wrong.length) {
      throw new Refusal(`recommend.onnx has other inputs or outputs than a bundle's graph: ${wrong.join(', ')}.`);
    }
    return engine;
  }

  /** @param {Call} call */
  async ask({ history, blocked, cache, cachedTokens, returnCache }) {
    const { data, dims } = cache ?? this.#emptyCache;
    const feed = {
      ...this.#constant,
      history: this.#integers(history),
      blocked: this.#integers(blocked),
      kv_cache: new this.#ort.Tensor('float32', data, dims),
      cached_tokens: this.#integers([cachedTokens]),
      return_cache: new this.#ort.Tensor('bool', Uint8Array.of(returnCache ? 1 : 0), [1]),
    };
    const outputs = ['items', 'scores', ...(returnCache ? ['next_kv_cache'] : [])];
    let found;
    try {
      found = await this.#session.run(feed, outputs);
    } catch (error) {
      throw refusalOf(error, 'cannot be run');
    }
    const next = found.next_kv_cache;
    return {
      items: Array.from(found.items.data, Number),
      scores: found.scores.data,
      cache: next ? { data: next.data, dims: next.dims } : null,
    };
  }

  /** Return the nodes that ran, by the runtime's profile. */
  endProfile(profile) {
    return profile.end(this.#session);
  }

  close() {
    return this.#session.release();
  }

  #integers(values) {
    return new this.#ort.Tensor('int64', BigInt64Array.from(values, BigInt), [values.length]);
  }
}

const CALL_INPUTS = ['history', 'blocked', 'kv_cache', 'cached_tokens', 'return_cache'];

function known(session) {
  return new Set([...session.inputNames, ...session.outputNames]);
}

function catalogTensors(ort, { levels, items, arrays }) {
  const shape = (name, array) => (name === 'item_path' ? [items, levels + 1] : [array.length]);
  return Object.fromEntries(
    Object.entries(arrays).map(([name, array]) => [name, new ort.Tensor('int32', array, shape(name, array))]),
  );
}
