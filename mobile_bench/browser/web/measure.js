/** The benchmark by hand: the passes of `odllm bench` with this page's own workers, each pass with a fresh one. */

import { Client } from './client.js';
import { distribution } from './statistics.js';

const SETTINGS = { warm_up_calls: 3, warm_loads: 3, memory_calls: 20, phase_calls: 20, min_calls: 50, min_seconds: 3 };
const ROUND_SECONDS = 0.3;
const MOST_SECONDS = 60;
const KIND = 'odllm web measurement';

export class Measurement {
  #client = null;
  #stopped = false;

  /**
   * @param {object} cell what to measure: `bundle` (address), `provider`, `threads`, `histories` (item rows).
   * @param {(words: string) => void} tell how far it is.
   */
  constructor(cell, tell) {
    this.cell = cell;
    this.tell = tell;
  }

  /** End it; `run` then throws. */
  stop() {
    this.#stopped = true;
    this.#client?.close();
  }

  /** @returns {Promise<object>} the passes' replies, under the names of a record's parts. */
  async run() {
    const inspected = await this.#pass('where it runs', { do: 'inspect', questions: [] });
    const load = await this.#pass('opening', { do: 'load', warm_loads: SETTINGS.warm_loads });
    const memory = await this.#pass('memory', { do: 'memory', calls: SETTINGS.memory_calls });
    const phases = await this.#pass('a call taken apart', { do: 'phases', calls: SETTINGS.phase_calls });
    const timing = await this.#time();
    return { inspected, load, memory, phases, timing };
  }

  async #pass(what, request) {
    return this.#with(`Measuring: ${what} …`, (client) => client.ask({ ...this.cell, ...request }));
  }

  #time() {
    return this.#with('Measuring: time …', async (client) => {
      const warm = await client.ask({ ...this.cell, do: 'open', warm_up_calls: SETTINGS.warm_up_calls });
      const wanted = Math.round((1000 * ROUND_SECONDS) / Math.max(warm.call_ms, 0.001));
      const calls = Math.max(1, Math.min(wanted, this.cell.histories.length, SETTINGS.min_calls));
      const [wall, rounds] = [[], []];
      let seconds = 0;
      while (seconds < MOST_SECONDS && (seconds < SETTINGS.min_seconds || wall.length < SETTINGS.min_calls)) {
        const { wall_ms: one } = await client.ask({ do: 'round', first: wall.length, calls });
        wall.push(...one);
        rounds.push(calls);
        seconds = wall.reduce((sum, ms) => sum + ms, 0) / 1000;
        this.tell(`Measuring: time, ${wall.length} calls …`);
      }
      return { wall_ms: wall, round_calls: rounds };
    });
  }

  async #with(words, act) {
    if (this.#stopped) throw new Error('stopped');
    this.tell(words);
    this.#client = new Client();
    try {
      return await act(this.#client);
    } finally {
      this.#client.close();
    }
  }
}

/**
 * Return a measurement as a file's content: a record's parts under a record's names, as far as a page knows them.
 *
 * @param {object} found what `Measurement.run` returned.
 * @param {{cell: object, manifest: object, manifestSha256: string, agreement: ?object}} about
 */
export function measurementFile(found, { cell, manifest, manifestSha256, agreement }) {
  const { inspected, load, memory, phases, timing } = found;
  const placement = {};
  for (const [, , provider] of inspected.nodes) placement[provider] = (placement[provider] ?? 0) + 1;
  return {
    kind: KIND,
    version: 1,
    measured_at: new Date().toISOString(),
    bundle: {
      dataset: manifest.name,
      manifest_sha256: manifestSha256,
      precision: manifest.model.precision,
      form: manifest.graph.form,
      scoring: manifest.search.scoring,
      num_beams: manifest.search.num_beams,
      items: manifest.items,
      parameters: manifest.model.parameters,
      keep_ratio: manifest.model.keep_ratio,
    },
    device: {
      user_agent: navigator.userAgent,
      platform: navigator.userAgentData?.platform || navigator.platform,
      cores: navigator.hardwareConcurrency,
      cross_origin_isolated: globalThis.crossOriginIsolated,
      onnxruntime: inspected.onnxruntime,
      runtime_build: inspected.runtime_build,
    },
    execution: {
      provider: cell.provider,
      threads: cell.threads,
      session_options: inspected.session_options,
      nodes: placement,
    },
    workload: { histories: cell.histories.length, history_items: cell.histories.map((one) => one.length) },
    time_to_top_k: { ...timing, wall: distribution(timing.wall_ms) },
    phases: {
      ...phases,
      whole: distribution(phases.whole_ms),
      incremental: distribution(phases.incremental_ms),
      repeated: distribution(phases.repeated_ms),
    },
    load,
    memory: { wasm_heap_bytes: memory.heap_bytes },
    agreement,
  };
}
