/** What a graph says about itself in its metadata: it must be the graph that the manifest speaks of. */

import { Refusal } from './errors.js';

const KEY = 'odllm.facts';
const METADATA_FIELD = 14; // ModelProto.metadata_props, of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
const [KEY_FIELD, VALUE_FIELD] = [1, 2]; // StringStringEntryProto
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5];

/**
 * Check that graph and manifest say the same about prompt, search and cache.
 *
 * @param {Uint8Array} graph an ONNX model.
 * @param {object} manifest
 * @param {string} name of the graph's file.
 */
export function checkFacts(graph, manifest, name) {
  const { prompt, search, graph: facts } = manifest;
  const found = metadata(graph).get(KEY);
  if (found === undefined || canonical(JSON.parse(found)) !== canonical({ prompt, search, graph: facts })) {
    throw new Refusal(
      `${name} was made for another prompt, search or cache than its manifest says. Copy the whole bundle again.`,
    );
  }
}

function metadata(graph) {
  const text = new TextDecoder();
  const entries = new Map();
  for (const [field, value] of fields(graph)) {
    if (field !== METADATA_FIELD) continue;
    const pair = new Map(fields(value));
    entries.set(text.decode(pair.get(KEY_FIELD)), text.decode(pair.get(VALUE_FIELD)));
  }
  return entries;
}

/** Yield the numbers of a protocol buffer's fields with the bytes of those that have some. */
function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let factor = 1; at < bytes.length; factor *= 128) {
      const byte = bytes[at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new Refusal('the graph ends in the middle of a field: it is damaged. Copy the bundle again.');
  };
  while (at < bytes.length) {
    const tag = varint();
    const [field, wire] = [Math.floor(tag / 8), tag % 8];
    let length = { [FIXED64]: 8, [FIXED32]: 4 }[wire];
    if (wire === VARINT) {
      varint();
      continue;
    }
    if (wire === BYTES) length = varint();
    if (length === undefined) throw new Refusal(`the graph has a field of kind ${wire}: it is damaged.`);
    yield [field, bytes.subarray(at, at + length)];
    at += length;
  }
}

/** Return a value as JSON with the keys of every object in order. */
function canonical(value) {
  return JSON.stringify(value, (_, inner) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
