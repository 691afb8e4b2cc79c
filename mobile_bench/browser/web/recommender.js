/** The bundle at work: item history in, top-k items out. The counterpart of `odllm_export.runtime.Recommender`. */

import { CATALOG, FORM_GRAPHS, GOLDEN, ITEMS, fetchBundle, hashItemIds, readItems } from './bundle.js';
import { readCatalog } from './catalog.js';
import { Refusal, deviceRefusal } from './errors.js';
import { checkFacts } from './graph_facts.js';
import { GraphEngine } from './graph_engine.js';
import { reusableTokens } from './prompt.js';
import { startRuntime } from './runtime.js';
import { StepsEngine } from './steps_engine.js';

const MOST_BYTES = 2 ** 32; // of a wasm memory with 32-bit addresses

/**
 * @typedef {object} Ranked
 * @property {number[]} items rows, best first.
 * @property {Float32Array} scores
 */

export class Recommender {
  #engine;

  /**
   * @param {import('./bundle.js').Bundle} bundle whose graphs and weights are not kept.
   * @param {import('./catalog.js').Catalog} catalog
   * @param {{id: string, title: string}[]} items by row.
   * @param {object} engine that runs the graphs.
   */
  constructor({ manifest, manifestSha256, files }, catalog, items, engine) {
    this.manifest = manifest;
    this.manifestSha256 = manifestSha256;
    this.catalog = catalog;
    this.items = items;
    this.golden = files.get(GOLDEN);
    this.#engine = engine;
  }

  /**
   * Open a bundle; everything is checked before anything large is opened.
   *
   * @param {string} base address of its folder, with a slash at its end.
   * @param {{provider: string, threads: number, profile?: boolean, progress?: Function}} options
   * @returns {Promise<Recommender>}
   */
  static async open(base, { provider, threads, profile = false, progress }) {
    const ort = await startRuntime(provider, threads);
    const bundle = await fetchBundle(base, progress);
    const { manifest, files } = bundle;
    if (manifest.expected_peak_memory_bytes > MOST_BYTES) {
      throw deviceRefusal(
        `the bundle needs about ${Math.round(manifest.expected_peak_memory_bytes / 2 ** 20)} MiB at its peak; a page ` +
          'can have 4096. Export with a smaller keep ratio or precision.',
      );
    }
    const catalog = readCatalog(files.get(CATALOG));
    const items = readItems(files.get(ITEMS));
    if ((await hashItemIds(items)) !== catalog.idsSha256 || items.length !== manifest.items) {
      throw new Refusal('the item table is not the one that the catalogue was built for. Copy the bundle again.');
    }
    if (String(catalog.codeSizes) !== String(manifest.prompt.code_sizes)) {
      throw new Refusal(`the catalogue has code sizes ${catalog.codeSizes}, the model ${manifest.prompt.code_sizes}`);
    }
    for (const name of FORM_GRAPHS[manifest.graph.form]) checkFacts(files.get(name), manifest, name);
    const Engine = manifest.graph.form === 'steps' ? StepsEngine : GraphEngine;
    const options = { provider, threads, profile, prepack: manifest.graph.prepack };
    return new Recommender(bundle, catalog, items, await Engine.open(ort, bundle, catalog, options));
  }

  /**
   * Return the best next items for a history: `num_beams` of them, fewer only if fewer are live.
   *
   * @param {number[]} history item rows, oldest first.
   * @param {number[]} blocked item rows that must not come back.
   * @returns {Promise<Ranked>}
   */
  async recommendRows(history, blocked = []) {
    return this.run({ history, blocked, cache: null, cachedTokens: 0, returnCache: false });
  }

  /** @param {import('./graph_engine.js').Call} call */
  async run(call) {
    if (!call.history.length) throw new Refusal('the history is empty; a recommendation needs at least one item');
    const found = await this.#engine.ask(call);
    if (found.items.length < this.#fewest(call.blocked) || found.scores.some(Number.isNaN)) {
      throw new Refusal(
        `bundle '${this.manifest.name}' computes scores that are no numbers: its weights are damaged, or this ` +
          'device computes wrongly. Copy the bundle again.',
      );
    }
    return found;
  }

  /** Return a session, which keeps what it computed for one user's growing history. */
  session() {
    return new Session(this);
  }

  /** Return the nodes that ran, by the runtime's profile. */
  endProfile(profile) {
    return this.#engine.endProfile(profile);
  }

  /** Free the model. */
  close() {
    return this.#engine.close();
  }

  #fewest(blocked) {
    const { live_items: live, item_path: path } = this.catalog.arrays;
    const last = this.catalog.levels;
    const hidden = [...new Set(blocked)].filter((row) => live[path[row * (last + 1) + last]] > 0);
    return Math.min(this.manifest.search.num_beams, live[0] - hidden.length);
  }
}

/** One user's history, asked about again and again: what did not change since the last call is not computed again. */
export class Session {
  #recommender;
  #window = [];
  #cache = null;

  /** @param {Recommender} recommender */
  constructor(recommender) {
    this.#recommender = recommender;
    this.reusedTokens = 0;
  }

  /** Return item rows and scores, as `Recommender.recommendRows` does. */
  async recommendRows(history, blocked = []) {
    const { prompt } = this.#recommender.manifest;
    const window = history.slice(-prompt.max_items);
    const differs = window.findIndex((row, index) => row !== this.#window[index]);
    const shared = differs < 0 ? window.length : differs;
    const cachedTokens = this.#cache && shared ? reusableTokens(prompt, shared) : 0;
    const cache = cachedTokens ? this.#cache : null;
    const found = await this.#recommender.run({ history, blocked, cache, cachedTokens, returnCache: true });
    [this.#window, this.#cache, this.reusedTokens] = [window, found.cache, cachedTokens];
    return found;
  }
}
