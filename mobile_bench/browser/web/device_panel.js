/** The page's part about this device: what runs where, the golden lists, the benchmark by hand. */

import { Measurement, measurementFile } from './measure.js';
import { offeredAdapter } from './runtime.js';
import { byId, mib, ms, showChoices, showFigures, showText } from './view.js';

const MOST_CHOICES = 8;
const RANDOM_HISTORIES = 16;

export class DevicePanel {
  #client;
  #opened;
  #choice;
  #measurement = null;
  #json = null;

  /** @param {(choice: {provider: string, threads: number}) => void} reopen the bundle otherwise. */
  constructor(reopen) {
    const chosen = () => reopen({ provider: byId('provider').value, threads: Number(byId('threads').value) });
    byId('provider').addEventListener('change', chosen);
    byId('threads').addEventListener('change', chosen);
    byId('self-test').addEventListener('click', () => this.#busy(() => this.#compare()));
    byId('measure').addEventListener('click', () => this.#busy(() => this.#measure()));
    byId('stop').addEventListener('click', () => this.#measurement?.stop());
    byId('copy').addEventListener('click', () => this.#copy());
  }

  /** Show what is open now. */
  async show(client, opened, choice) {
    [this.#client, this.#opened, this.#choice] = [client, opened, choice];
    const adapter = await offeredAdapter();
    const providers = [['wasm', 'Processor (wasm)']];
    if (adapter) providers.push(['webgpu-browser', `WebGPU (${adapter.name}${adapter.software ? ', software' : ''})`]);
    showChoices('provider', providers, choice.provider);
    const cores = globalThis.crossOriginIsolated ? Math.min(MOST_CHOICES, navigator.hardwareConcurrency || 1) : 1;
    const counts = Array.from({ length: cores }, (_, index) => [index + 1, String(index + 1)]);
    showChoices('threads', counts, choice.threads);
    byId('self-test').hidden = opened.golden.length === 0;
    const where = opened.adapter ? `WebGPU on ${opened.adapter.name}` : 'wasm with SIMD';
    showText('device-status', `onnxruntime-web ${opened.onnxruntime}, ${where}`);
  }

  async #compare() {
    showText('device-status', 'Asking the golden histories …');
    const { cases, equal, overlap, passed, first_difference: difference } = await this.#client.ask({ do: 'demo-test' });
    const words = `${equal} of ${cases} lists are equal, ${(100 * overlap).toFixed(1)} % of the items came back`;
    showText('device-status', passed ? `✓ ${words}.` : `✗ ${words}. ${difference ?? ''}`);
    return { cases, equal_lists: equal, overlap, passed };
  }

  async #measure() {
    const { manifest, manifest_sha256: manifestSha256, golden, items } = this.#opened;
    const agreement = golden.length ? await this.#compare() : null;
    const histories = golden.length ? golden.map((one) => one.history) : randomHistories(manifest, items.length);
    const cell = { bundle: new URL('bundle/', document.baseURI).href, ...this.#choice, histories };
    this.#measurement = new Measurement(cell, (words) => showText('device-status', words));
    byId('stop').hidden = false;
    try {
      const found = await this.#measurement.run();
      const file = measurementFile(found, { cell, manifest, manifestSha256, agreement });
      this.#show(file);
    } finally {
      byId('stop').hidden = true;
      this.#measurement = null;
    }
  }

  #show(file) {
    const { time_to_top_k: time, phases, load, memory, execution, agreement } = file;
    const nodes = Object.entries(execution.nodes).map(([name, count]) => `${count} ${name.replace('ExecutionProvider', '')}`);
    const figures = [
      ['Time to the list, median', ms(time.wall.p50)],
      ['9 of 10 calls within', ms(time.wall.p90)],
      ['One new item, median', ms(phases.incremental.p50)],
      ['First opening', ms(load.cold_ms)],
      ['Memory of the runtime', mib(memory.wasm_heap_bytes)],
      ['Nodes that ran on', nodes.join(', ')],
    ];
    if (agreement) figures.push(['Equal lists', `${agreement.equal_lists} of ${agreement.cases}`]);
    showFigures(figures);
    this.#json = `${JSON.stringify(file, null, 2)}\n`;
    const link = byId('download');
    if (link.href) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(new Blob([this.#json], { type: 'application/json' }));
    byId('measured').hidden = false;
    showText('device-status', `Measured: ${time.wall.count} calls.`);
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.#json);
      showText('device-status', 'Copied.');
    } catch {
      showText('device-status', 'This browser does not let the page copy; save the file instead.');
    }
  }

  /** Run something long with the buttons held; its failure is words, not silence. */
  async #busy(act) {
    const buttons = ['self-test', 'measure', 'provider', 'threads'].map(byId);
    for (const button of buttons) button.disabled = true;
    try {
      await act();
    } catch (error) {
      showText('device-status', `✗ ${error.message}`);
    } finally {
      for (const button of buttons) button.disabled = false;
    }
  }
}

function randomHistories(manifest, items) {
  const row = () => Math.floor(Math.random() * items);
  return Array.from({ length: RANDOM_HISTORIES }, () => Array.from({ length: manifest.prompt.max_items }, row));
}
