/** Constrained beam search over the trie, for bundles whose graphs hold the decoder alone (form `steps`). */

import { liveItemsWithout } from './catalog.js';

/**
 * @typedef {object} Beam one live end of a search.
 * @property {number[]} path the nodes from the root to its own.
 * @property {number} score sum of the log-probabilities of the path's codes.
 */

export class TrieSearch {
  /**
   * @param {import('./catalog.js').Catalog} catalog
   * @param {number[]} blocked item rows that never come back.
   * @param {{num_beams: number, scoring: string}} search of the manifest.
   * @param {number} codeOffset row of the head that holds code row 0.
   */
  constructor(catalog, blocked, search, codeOffset) {
    this.catalog = catalog;
    this.live = blocked.length ? liveItemsWithout(catalog, blocked) : catalog.arrays.live_items;
    this.search = search;
    this.codeOffset = codeOffset;
  }

  /** Return the one beam that every search begins with. */
  root() {
    return [{ path: [0], score: 0 }];
  }

  /**
   * Return the best of all live children, best first.
   *
   * @param {Beam[]} beams
   * @param {Float32Array} logits of every beam's last token, one row behind the other.
   * @returns {Beam[]}
   */
  grow(beams, logits) {
    const width = logits.length / beams.length;
    const code = this.catalog.arrays.node_code;
    const grown = beams.flatMap((beam, number) => {
      const row = logits.subarray(number * width, (number + 1) * width);
      const children = this.#children(beam);
      const values = children.map((node) => row[code[node] + this.codeOffset]);
      const norm = logSumExp(this.search.scoring === 'codes' ? values : row);
      return children.map((node, index) => child(beam, node, Math.fround(beam.score + values[index] - norm)));
    });
    return this.#best(grown);
  }

  /** Return the live items of complete beams: best first, those of one code in row order. */
  items(beams) {
    const found = this.#best(beams.flatMap((beam) => this.#children(beam).map((node) => child(beam, node, beam.score))));
    const { nodes, arrays } = this.catalog;
    return {
      items: found.map((beam) => arrays.item_order[beam.path.at(-1) - nodes]),
      scores: Float32Array.from(found, (beam) => beam.score),
    };
  }

  #children({ path }) {
    const start = this.catalog.arrays.child_start;
    const live = [];
    for (let node = start[path.at(-1)]; node < start[path.at(-1) + 1]; node++) {
      if (this.live[node] > 0) live.push(node);
    }
    return live;
  }

  #best(beams) {
    return beams.sort((one, other) => other.score - one.score).slice(0, this.search.num_beams); // a stable sort
  }
}

function child(beam, node, score) {
  return { path: [...beam.path, node], score };
}

function logSumExp(values) {
  let largest = -Infinity;
  for (const value of values) largest = Math.max(largest, value);
  if (largest === -Infinity) return 0;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - largest);
  return largest + Math.log(sum);
}
