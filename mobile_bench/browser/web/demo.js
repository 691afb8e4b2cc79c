/** Answers what the page for people asks: open, recommend, compare with the golden lists. */

import { Refusal } from './errors.js';
import { listDifference, overlap } from './list_difference.js';
import { Recommender } from './recommender.js';
import { heapBytes, runtimeVersion, usedAdapter } from './runtime.js';

const DEMO = ['demo-open', 'demo-ask', 'demo-test'];

export class Demo {
  #tell;
  #recommender = null;
  #session = null;

  /** @param {(message: object) => void} tell the page how far opening is. */
  constructor(tell) {
    this.#tell = tell;
  }

  /** Return whether a request is for a `Demo`. */
  static answers(request) {
    return DEMO.includes(request.do);
  }

  async answer(request) {
    if (request.do === 'demo-open') return this.#open(request);
    if (!this.#recommender) throw new Refusal('the bundle is not open');
    return request.do === 'demo-ask' ? this.#ask(request) : this.#test();
  }

  async #open({ bundle, provider, threads }) {
    const started = performance.now();
    const progress = (done, total) => this.#tell({ done, total });
    this.#recommender = await Recommender.open(bundle, { provider, threads, progress });
    this.#session = this.#recommender.session();
    const { manifest, manifestSha256, items } = this.#recommender;
    return {
      manifest,
      manifest_sha256: manifestSha256,
      items,
      golden: this.#golden().cases.map(({ history, blocked }) => ({ history, blocked })),
      open_ms: performance.now() - started,
      onnxruntime: runtimeVersion(),
      adapter: await usedAdapter(),
    };
  }

  /** Return the golden lists, their items as rows; no cases where the bundle has none. */
  #golden() {
    const { golden, items } = this.#recommender;
    if (!golden) return { cases: [] };
    const rows = new Map(items.map((item, row) => [item.id, row]));
    const read = JSON.parse(new TextDecoder().decode(golden));
    const cases = read.cases.map((one) => {
      const [history, blocked, expected] = [one.history, one.blocked, one.items].map((ids) => ids.map((id) => rows.get(id)));
      return { history, blocked, items: expected, scores: one.scores };
    });
    return { ...read, cases };
  }

  /** Recommend what is not in the history yet. */
  async #ask({ history }) {
    const started = performance.now();
    const { items, scores } = await this.#session.recommendRows(history, history);
    const elapsed = performance.now() - started;
    const { top_k: top } = this.#recommender.manifest.search;
    return {
      items: items.slice(0, top),
      scores: Array.from(scores.slice(0, top)),
      elapsed_ms: elapsed,
      reused_tokens: this.#session.reusedTokens,
      heap_bytes: heapBytes(),
    };
  }

  async #test() {
    const golden = this.#golden();
    let [equal, shared, first] = [0, 0, null];
    for (const [number, expected] of golden.cases.entries()) {
      const found = await this.#recommender.recommendRows(expected.history, expected.blocked);
      const difference = listDifference(found, expected, golden.score_tolerance);
      if (difference === null) equal += 1;
      else first ??= `case ${number + 1}: ${difference}`;
      shared += overlap(found.items, expected.items);
    }
    const cases = golden.cases.length;
    const passed = golden.min_overlap < 1 ? shared / cases >= golden.min_overlap : equal === cases;
    return { cases, equal, overlap: shared / cases, passed, first_difference: first };
  }
}
