/** The page for people: a history by taps, recommendations at every tap, and the benchmark by hand. */

import { Client } from './client.js';
import { DevicePanel } from './device_panel.js';
import { keepOffline, limitsOfThisAddress } from './offline.js';
import { Search } from './search.js';
import { byId, counted, mib, ms, showHistory, showRecommendations, showResults, showText } from './view.js';

const SHOWN_RESULTS = 40;
const MOST_THREADS = 4;

class App {
  #client = null;
  #opened = null;
  #search = null;
  #history = [];
  #asked = 0;
  #panel = new DevicePanel((choice) => this.open(choice));

  /** Open the bundle in a fresh worker; what was open is freed. */
  async open({ provider, threads }) {
    this.#asked += 1; // nobody waits for what the old worker was asked
    this.#client?.close();
    this.#client = new Client(({ done, total }) => { byId('progress').value = done / total; });
    byId('progress').hidden = false;
    showText('status', 'Loading …');
    showText('error', null);
    try {
      this.#opened = await this.#client.ask({ do: 'demo-open', bundle: bundleAddress(), provider, threads });
    } catch (error) {
      showText('error', error.message);
      showText('status', 'Not loaded.');
      return;
    } finally {
      byId('progress').hidden = true;
    }
    this.#show(provider, threads);
  }

  /** Wire what does not change, and open the bundle. */
  async start() {
    byId('clear').addEventListener('click', () => this.#change([], 'history-title'));
    byId('example').addEventListener('click', () => this.#change(this.#example()));
    byId('search').addEventListener('input', () => {
      this.#showFound();
      byId('results').scrollTop = 0;
    });
    byId('search-form').addEventListener('submit', (event) => event.preventDefault());
    showText('notice', limitsOfThisAddress());
    const cores = navigator.hardwareConcurrency || 1;
    const threads = globalThis.crossOriginIsolated ? Math.min(MOST_THREADS, Math.max(1, cores - 1)) : 1;
    await this.open({ provider: 'wasm', threads });
    await keepOffline((words) => showText('offline', words));
  }

  #show(provider, threads) {
    const { manifest, items, open_ms: openMs, golden } = this.#opened;
    document.title = `${manifest.name}: recommendations on this device`;
    byId('name').textContent = manifest.name;
    const bytes = Object.values(manifest.files).reduce((sum, fact) => sum + fact.bytes, 0);
    showText('status', `${counted(items.length, 'item')} · ${mib(bytes)} · opened in ${ms(openMs)}`);
    byId('example').hidden = golden.length === 0;
    byId('main').hidden = false;
    this.#search = new Search(items);
    this.#panel.show(this.#client, this.#opened, { provider, threads });
    this.#change(this.#remembered());
  }

  /** Take another history: show it, and ask what comes next. */
  #change(history, focus = null) {
    this.#history = history;
    this.#remember();
    const { items, manifest } = this.#opened;
    showHistory(history, items, manifest.prompt.max_items, (index) => this.#remove(index));
    this.#showFound();
    if (focus) byId(focus).focus();
    this.#recommend();
  }

  #remove(index) {
    this.#change(this.#history.filter((_, other) => other !== index));
    const left = byId('history').querySelectorAll('button');
    (left[Math.min(index, left.length - 1)] ?? byId('history-title')).focus();
  }

  #add(row) {
    this.#change([...this.#history, row]);
  }

  async #recommend() {
    const number = ++this.#asked;
    const isLatest = () => number === this.#asked; // no other tap came in between
    byId('next').ariaBusy = 'true';
    try {
      const history = this.#history;
      const answer = history.length ? await this.#client.ask({ do: 'demo-ask', history }) : null;
      if (isLatest()) this.#showNext(answer);
    } catch (error) {
      if (isLatest()) showText('error', error.message);
    } finally {
      if (isLatest()) byId('next').ariaBusy = 'false';
    }
  }

  #showNext(answer) {
    showRecommendations(answer, this.#opened.items, (row) => this.#add(row));
    showText('cost', answer && `${ms(answer.elapsed_ms)} · ${mib(answer.heap_bytes)} of memory`);
  }

  #showFound() {
    const query = byId('search').value;
    const rows = this.#search.find(query);
    const shown = rows.slice(0, SHOWN_RESULTS);
    showResults(shown, this.#opened.items, this.#history, (row) => this.#add(row));
    const words = rows.length > shown.length ? `${shown.length} of ${counted(rows.length, 'title')}` : counted(rows.length, 'title');
    showText('found', rows.length ? words : 'No title has these words.');
  }

  /** The longest golden history that is no longer than the window. */
  #example() {
    const { golden, manifest } = this.#opened;
    const fitting = golden.map((one) => one.history.slice(-manifest.prompt.max_items));
    return fitting.reduce((longest, one) => (one.length > longest.length ? one : longest)).slice(-8);
  }

  #remembered() {
    const rows = new Map(this.#opened.items.map((item, row) => [item.id, row]));
    try {
      const kept = JSON.parse(localStorage.getItem(this.#key()) ?? '[]');
      return kept.map((id) => rows.get(id)).filter((row) => row !== undefined);
    } catch {
      return []; // this browser keeps nothing
    }
  }

  #remember() {
    try {
      localStorage.setItem(this.#key(), JSON.stringify(this.#history.map((row) => this.#opened.items[row].id)));
    } catch {
      // this browser keeps nothing: the history is gone with the page
    }
  }

  #key() {
    return `odllm-history-${this.#opened.manifest.name}`;
  }
}

function bundleAddress() {
  return new URL('bundle/', document.baseURI).href;
}

await new App().start();
