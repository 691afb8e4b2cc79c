/** A bundle over http: its manifest, its files, and the checks before anything is opened (docs/bundle.md). */

import { Refusal } from './errors.js';
import { sha256 } from './sha256.js';

export const SCHEMA_VERSION = 2;

/** The graphs of each form, and the file with their weights. */
export const FORM_GRAPHS = { loop: ['recommend.onnx'], unrolled: ['recommend.onnx'], steps: ['prefill.onnx', 'step.onnx'] };
export const WEIGHTS = 'recommend.onnx.data';
export const CATALOG = 'catalog.bin';
export const ITEMS = 'items.jsonl';
export const GOLDEN = 'golden.json';

const AGAIN = 'Copy the bundle again.';

/**
 * @typedef {object} Bundle
 * @property {object} manifest as in `manifest.json`.
 * @property {string} manifestSha256 of that file.
 * @property {Map<string, Uint8Array>} files every file that the manifest names, checked.
 */

/**
 * Fetch a bundle and check every file's size and SHA-256.
 *
 * @param {string} base address of its folder, with a slash at its end.
 * @param {(done: number, total: number) => void} progress told bytes.
 * @returns {Promise<Bundle>}
 */
export async function fetchBundle(base, progress = () => {}) {
  const manifestBytes = await fetchBytes(base, 'manifest.json');
  const manifest = readManifest(manifestBytes);
  const facts = Object.entries(manifest.files);
  const total = facts.reduce((sum, [, fact]) => sum + fact.bytes, 0);
  const files = new Map();
  let done = 0;
  for (const [name, fact] of facts) {
    files.set(name, await fetchChecked(base, name, fact));
    done += fact.bytes;
    progress(done, total);
  }
  return { manifest, manifestSha256: await sha256(manifestBytes), files };
}

function readManifest(bytes) {
  let manifest;
  try {
    manifest = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new Refusal(`manifest.json is damaged: ${error.message}. ${AGAIN}`);
  }
  if (manifest?.schema_version !== SCHEMA_VERSION) {
    throw new Refusal(
      `manifest.json has schema version ${manifest?.schema_version}; this page reads ${SCHEMA_VERSION}. ` +
        'Update odllm, or export the bundle again.',
    );
  }
  const form = manifest.graph?.form;
  if (!Object.hasOwn(FORM_GRAPHS, form)) {
    const known = Object.keys(FORM_GRAPHS).join(', ');
    throw new Refusal(`manifest.json has a graph of form '${form}'; this page runs ${known}. Export the bundle again.`);
  }
  for (const name of [...FORM_GRAPHS[form], WEIGHTS, CATALOG, ITEMS]) {
    if (!manifest.files?.[name]) throw new Refusal(`manifest.json does not name ${name}. Export the bundle again.`);
  }
  return manifest;
}

async function fetchChecked(base, name, fact) {
  if (name.includes('/')) throw new Refusal(`manifest.json names '${name}', which is no file of a bundle. ${AGAIN}`);
  const bytes = await fetchBytes(base, name);
  if (bytes.length !== fact.bytes) {
    throw new Refusal(`${name} has ${bytes.length} bytes, the manifest says ${fact.bytes}. ${AGAIN}`);
  }
  if ((await sha256(bytes)) !== fact.sha256) {
    const short = fact.sha256.slice(0, 12);
    throw new Refusal(`${name} is damaged: its SHA-256 is not the manifest's ${short}…. ${AGAIN}`);
  }
  return bytes;
}

async function fetchBytes(base, name) {
  let response;
  try {
    response = await fetch(base + encodeURIComponent(name));
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new Refusal(`${name} cannot be loaded: ${error.message}. Is the server still running?`);
  }
  throw new Refusal(`${name} cannot be loaded: the server answered ${response.status}. ${AGAIN}`);
}

/**
 * @param {Uint8Array} bytes of `items.jsonl`.
 * @returns {{id: string, title: string}[]} by row.
 */
export function readItems(bytes) {
  const lines = new TextDecoder().decode(bytes).split('\n');
  if (lines.at(-1) === '') lines.pop();
  return lines.map((line, row) => {
    try {
      const { id, title } = JSON.parse(line);
      return { id, title };
    } catch {
      throw new Refusal(`${ITEMS}, line ${row + 1}, is not an item: ${line.slice(0, 80)}. ${AGAIN}`);
    }
  });
}

/** Return the SHA-256 that ties a catalogue to its item table. */
export function hashItemIds(items) {
  return sha256(new TextEncoder().encode(items.map((item) => `${item.id}\n`).join('')));
}
