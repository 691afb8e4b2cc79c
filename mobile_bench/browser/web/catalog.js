/** `catalog.bin`: the trie over item codes as flat arrays (docs/bundle.md). */

import { Refusal } from './errors.js';

const MAGIC = 'ODLMCAT\0';
const FORMAT_VERSION = 1;
const HEADER_BYTES = 56;
const LEVELS = { least: 2, most: 6 };

/**
 * @typedef {object} Catalog
 * @property {number} levels codes an item.
 * @property {number} items rows of the item table.
 * @property {number} nodes of the trie, the root and the leaves included.
 * @property {number[]} codeSizes codes a level.
 * @property {string} idsSha256 which item table it fits.
 * @property {Record<string, Int32Array>} arrays by the graph's names for them.
 */

/**
 * Read a catalogue and check that its arrays form a trie.
 *
 * @param {Uint8Array} bytes
 * @returns {Catalog}
 */
export function readCatalog(bytes) {
  if (new TextDecoder().decode(bytes.subarray(0, MAGIC.length)) !== MAGIC || bytes.length < HEADER_BYTES) {
    throw new Refusal(`catalog.bin is not a catalogue file: it does not begin with ${JSON.stringify(MAGIC)}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [version, levels, items, nodes] = [8, 12, 16, 20].map((at) => view.getUint32(at, true));
  if (version !== FORMAT_VERSION) {
    throw new Refusal(`catalog.bin has format ${version}, this page reads ${FORMAT_VERSION}: update odllm`);
  }
  if (levels < LEVELS.least || levels > LEVELS.most) {
    throw new Refusal(`catalog.bin says ${levels} levels; ${LEVELS.least} to ${LEVELS.most} are possible: it is damaged`);
  }
  const lengths = {
    child_start: nodes + 1,
    node_code: nodes,
    live_items: nodes + items,
    item_path: items * (levels + 1),
    item_order: items,
    level_width: levels + 1,
  };
  const expected = HEADER_BYTES + 4 * Object.values(lengths).reduce((sum, length) => sum + length, levels);
  if (bytes.length !== expected) {
    throw new Refusal(`catalog.bin has ${bytes.length} bytes, its header asks for ${expected}: it is damaged`);
  }
  let at = HEADER_BYTES;
  const take = (length) => {
    const array = new Int32Array(bytes.buffer.slice(bytes.byteOffset + at, bytes.byteOffset + at + 4 * length));
    at += 4 * length;
    return array;
  };
  const codeSizes = Array.from(take(levels));
  const arrays = Object.fromEntries(Object.entries(lengths).map(([name, length]) => [name, take(length)]));
  const idsSha256 = Array.from(bytes.subarray(24, HEADER_BYTES), (byte) => byte.toString(16).padStart(2, '0')).join('');
  const catalog = { levels, items, nodes, codeSizes, idsSha256, arrays };
  checkTrie(catalog);
  return catalog;
}

/**
 * Return `live_items` without the items at some rows as well.
 *
 * @param {Catalog} catalog
 * @param {Iterable<number>} rows repeated ones count once.
 * @returns {Int32Array}
 */
export function liveItemsWithout(catalog, rows) {
  const { live_items: all, item_path: path } = catalog.arrays;
  const depth = catalog.levels + 1;
  const live = all.slice();
  for (const row of new Set(rows)) {
    const own = row * depth;
    if (live[path[own + depth - 1]] === 0) continue; // blocked before
    for (let level = 0; level < depth; level++) live[path[own + level]] -= 1;
    live[0] -= 1;
  }
  return live;
}

/** Refuse arrays that contradict one another: graphs gather from them without looking. */
function checkTrie(catalog) {
  const { nodes, items, arrays } = catalog;
  const { child_start: start, live_items: live } = arrays;
  if (items < 1 || start[0] !== 1 || start[nodes] !== nodes + items) {
    throw damaged(`child_start goes from ${start[0]} to ${start[nodes]}, not from 1 to ${nodes + items}`);
  }
  const parent = new Int32Array(nodes + items);
  for (let node = 0; node < nodes; node++) {
    if (start[node + 1] <= start[node]) throw damaged(`child_start[${node + 1}] leaves a node without children`);
    let sum = 0;
    for (let child = start[node]; child < start[node + 1]; child++) {
      parent[child] = node;
      sum += live[child];
    }
    if (live[node] !== sum) throw damaged(`live_items[${node}] is ${live[node]}; its children count ${sum}`);
  }
  for (let node = nodes; node < nodes + items; node++) {
    if (live[node] !== 0 && live[node] !== 1) throw damaged(`live_items[${node}] counts one item as neither 0 nor 1`);
  }
  checkCodes(catalog, parent, depthBounds(catalog));
  checkItems(catalog, parent);
}

/** Return the first node of each depth, and the first item at last. */
function depthBounds({ levels, nodes, arrays }) {
  const bounds = [0, 1];
  while (bounds.length <= levels + 1 && bounds.at(-1) < nodes) bounds.push(arrays.child_start[bounds.at(-1)]);
  if (bounds.length !== levels + 2 || bounds.at(-1) !== nodes) {
    throw damaged(`child_start makes depths that begin at nodes ${bounds}; ${levels} levels are needed`);
  }
  return bounds;
}

/** A node's code is one of its level, siblings ascend, and a depth is as wide as its widest node. */
function checkCodes({ codeSizes, arrays }, parent, bounds) {
  const { node_code: code, child_start: start, level_width: width } = arrays;
  let lowest = 0;
  bounds.slice(0, -1).forEach((first, depth) => {
    let widest = 0;
    const size = depth > 0 ? codeSizes[depth - 1] : 1; // the root's own is 0
    for (let node = first; node < bounds[depth + 1]; node++) {
      widest = Math.max(widest, start[node + 1] - start[node]);
      const falls = node > first && parent[node] === parent[node - 1] && code[node] <= code[node - 1];
      if (code[node] < lowest || code[node] >= lowest + size || falls) {
        throw damaged(`node_code[${node}] is ${code[node]}, which is out of place at depth ${depth}`);
      }
    }
    if (width[depth] !== widest) throw damaged(`level_width[${depth}] is ${width[depth]}; ${widest} is the widest`);
    if (depth > 0) lowest += codeSizes[depth - 1];
  });
}

/** Each position holds one item, and an item's path is the way up from its node. */
function checkItems({ levels, nodes, items, arrays }, parent) {
  const { item_order: order, item_path: path } = arrays;
  const seen = new Uint8Array(items);
  for (let position = 0; position < items; position++) {
    const row = order[position];
    let node = nodes + position;
    const behind = position > 0 && parent[node] === parent[node - 1] && row < order[position - 1];
    if (row < 0 || row >= items || seen[row] || behind) throw damaged(`item_order[${position}] is ${row}`);
    seen[row] = 1;
    for (let level = levels; level >= 0; level--) {
      if (path[row * (levels + 1) + level] !== node) {
        throw damaged(`item_path[${row}] does not lead to its item: node ${node} is missing`);
      }
      node = parent[node];
    }
  }
}

function damaged(what) {
  return new Refusal(`the arrays of catalog.bin do not form a trie: ${what}. It is damaged; export it again.`);
}
