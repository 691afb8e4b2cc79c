/** A bundle of form `steps`: two decoder graphs of fixed shapes, and the search around them (docs/forms.md). */

import { WEIGHTS } from './bundle.js';
import { promptIds, reusableTokens } from './prompt.js';
import { openGraph, refusalOf } from './runtime.js';
import { TrieSearch } from './trie_search.js';

const UNSEEN = -1e4; // what the mask adds where a token does not see a column
const [EMPTY, ROOT] = [-1, 0]; // labels of columns; others are trie nodes

export class StepsEngine {
  #ort;
  #manifest;
  #catalog;
  #prefill;
  #step;
  #rowOf;
  #codeOffset;

  constructor(ort, prefill, step, manifest, catalog) {
    this.#ort = ort;
    [this.#prefill, this.#step] = [prefill, step];
    [this.#manifest, this.#catalog] = [manifest, catalog];
    const kept = manifest.graph.embedding_rows;
    this.#rowOf = kept.length ? new Map(kept.map((token, row) => [token, row])) : null;
    [this.#codeOffset] = this.#rowsOf([manifest.prompt.first_code_token]);
  }

  /** @returns {Promise<StepsEngine>} */
  static async open(ort, { manifest, files }, catalog, options) {
    const weights = files.get(WEIGHTS);
    const prefill = await openGraph(ort, files.get('prefill.onnx'), weights, options);
    const step = await openGraph(ort, files.get('step.onnx'), weights, options);
    return new StepsEngine(ort, prefill, step, manifest, catalog);
  }

  /** @param {import('./graph_engine.js').Call} call */
  async ask({ history, blocked, cache, cachedTokens, returnCache }) {
    const { prompt, search, graph } = this.#manifest;
    const ids = this.#rowsOf(promptIds(prompt, this.#catalog, history));
    const buffers = new Buffers(graph);
    const cached = cache ? Math.min(cachedTokens, ids.length - 1) : 0; // at least one token is left to run
    if (cached) buffers.fill(cache, cached);
    const trie = new TrieSearch(this.#catalog, blocked, search, this.#codeOffset);
    let beams = trie.grow(trie.root(), await this.#runPrompt(ids, cached, buffers));
    for (let level = 1; level < this.#catalog.levels && beams.length; level++) {
      beams = trie.grow(beams, await this.#runStep(beams, ids.length, level, buffers));
    }
    const kept = returnCache ? reusableTokens(prompt, history.length) : 0;
    return { ...trie.items(beams), cache: returnCache ? buffers.first(kept) : null };
  }

  /** Return the nodes that ran in either graph; the graphs share names. */
  endProfile(profile) {
    const nodes = profile.end(this.#prefill);
    return [...nodes, ...profile.end(this.#step).map(([name, ...rest]) => [`step/${name}`, ...rest])];
  }

  async close() {
    await this.#prefill.release();
    await this.#step.release();
  }

  #rowsOf(tokens) {
    return this.#rowOf ? tokens.map((token) => this.#rowOf.get(token)) : tokens;
  }

  /** Run the prompt behind its cached tokens; return the logits of its last token. */
  async #runPrompt(ids, cached, buffers) {
    const { chunk } = this.#manifest.graph.fixed;
    let logits;
    for (let at = cached; at < ids.length; at += chunk) {
      const tokens = ids.slice(at, at + chunk);
      const rows = tokens.map((id, row) => ({ id, position: at + row, path: [ROOT] }));
      const feed = this.#feed(chunk, rows, buffers, (row, other) => other <= row);
      feed.last = new this.#ort.Tensor('int32', Int32Array.of(tokens.length - 1), [1]);
      const found = await this.#run(this.#prefill, feed, buffers);
      buffers.write(at, found, tokens.map(() => ROOT));
      logits = found.logits.data;
    }
    return logits;
  }

  /** Run the beams' tokens; return their logits, one row behind the other. */
  async #runStep(beams, promptTokens, level, buffers) {
    const { num_beams: most } = this.#manifest.search;
    const code = this.#catalog.arrays.node_code;
    const position = promptTokens + level - 1; // the first code stands right behind the prompt
    const rows = beams.map(({ path }) => ({ id: code[path.at(-1)] + this.#codeOffset, position, path }));
    const feed = this.#feed(most, rows, buffers, (row, other) => other === row);
    const found = await this.#run(this.#step, feed, buffers);
    buffers.write(promptTokens + (level - 1) * most, found, beams.map(({ path }) => path.at(-1)));
    const width = found.logits.dims.at(-1);
    return found.logits.data.subarray(0, beams.length * width);
  }

  /** Return a run's inputs: tokens, and a mask of what they see of the past and each other. The padding repeats the
   * last token, sight included: rows that nobody reads, with nothing unusual in them. */
  #feed(count, rows, buffers, seesRow) {
    const columns = buffers.labels.length;
    const [ids, positions] = [new Int32Array(count), new Int32Array(count)];
    const mask = new Float32Array(count * (columns + count)).fill(UNSEEN);
    for (let row = 0; row < count; row++) {
      const own = Math.min(row, rows.length - 1);
      const { id, position, path } = rows[own];
      [ids[row], positions[row]] = [id, position];
      const first = row * (columns + count);
      const seen = new Set(path);
      for (let column = 0; column < columns; column++) if (seen.has(buffers.labels[column])) mask[first + column] = 0;
      for (let other = 0; other < rows.length; other++) if (seesRow(own, other)) mask[first + columns + other] = 0;
    }
    const { Tensor } = this.#ort;
    return {
      ids: new Tensor('int32', ids, [1, count]),
      positions: new Tensor('int32', positions, [1, count]),
      mask: new Tensor('float32', mask, [1, 1, count, columns + count]),
    };
  }

  async #run(session, feed, buffers) {
    try {
      return await session.run({ ...feed, ...buffers.tensors(this.#ort) });
    } catch (error) {
      throw refusalOf(error, 'cannot be run');
    }
  }
}

/** Keys and values of one call, and the trie node of each column. */
class Buffers {
  constructor({ kv_cache: [layers, , heads, size], fixed: { columns } }) {
    [this.layers, this.heads, this.size] = [layers, heads, size];
    this.names = Array.from({ length: layers }, (_, layer) => [`keys_${layer}`, `values_${layer}`]).flat();
    this.arrays = this.names.map(() => new Float32Array(heads * columns * size));
    this.labels = new Int32Array(columns).fill(EMPTY);
  }

  tensors(ort) {
    const dims = [1, this.heads, this.labels.length, this.size];
    return Object.fromEntries(this.names.map((name, i) => [name, new ort.Tensor('float32', this.arrays[i], dims)]));
  }

  /** Write a run's new keys and values behind column `at`; nothing follows the last step: it has no columns. */
  write(at, found, labels) {
    const count = Math.max(0, Math.min(labels.length, this.labels.length - at));
    this.names.forEach((name, i) => {
      const { data, dims } = found[`new_${name}`];
      this.#copy(data, dims[2], this.arrays[i], this.labels.length, at, count);
    });
    this.labels.set(labels.slice(0, count), at);
  }

  /** Begin with the first tokens of a cache. */
  fill({ data, dims }, tokens) {
    const part = data.length / this.names.length;
    this.arrays.forEach((array, i) => {
      this.#copy(data.subarray(i * part, (i + 1) * part), dims[3], array, this.labels.length, 0, tokens);
    });
    this.labels.fill(ROOT, 0, tokens);
  }

  /** Return the first columns as a cache, `[layers, 2, heads, tokens, size]`. */
  first(tokens) {
    const part = this.heads * tokens * this.size;
    const data = new Float32Array(this.names.length * part);
    this.arrays.forEach((array, i) => {
      this.#copy(array, this.labels.length, data.subarray(i * part, (i + 1) * part), tokens, 0, tokens);
    });
    return { data, dims: [this.layers, 2, this.heads, tokens, this.size] };
  }

  /** Copy `count` columns of every head from one array to another that begins to be written at column `at`. */
  #copy(from, fromColumns, to, toColumns, at, count) {
    for (let head = 0; head < this.heads; head++) {
      const start = head * fromColumns * this.size;
      to.set(from.subarray(start, start + count * this.size), (head * toColumns + at) * this.size);
    }
  }
}
