/** onnxruntime-web: started once a worker, asked for one provider, watched for what it does. */

import { deviceRefusal, Refusal } from './errors.js';

/** The build that has a provider, and the runtime's name for it. */
const PROVIDERS = {
  wasm: { build: 'ort.wasm.min.mjs', name: 'wasm' },
  'webgpu-browser': { build: 'ort.webgpu.min.mjs', name: 'webgpu' },
};

const FOLDER = new URL('./runtime/', import.meta.url);
const heaps = [];
let started = null;

/** Return the bytes of the runtime's memory; it never shrinks. */
export function heapBytes() {
  return heaps.reduce((sum, heap) => sum + heap.buffer.byteLength, 0);
}

/**
 * Start the runtime, unless it runs; a worker has one.
 *
 * @param {string} provider
 * @param {number} threads of its pool.
 */
export async function startRuntime(provider, threads) {
  if (!Object.hasOwn(PROVIDERS, provider)) {
    throw new Refusal(`a browser has the providers ${Object.keys(PROVIDERS).join(', ')}, not '${provider}'`);
  }
  if (threads > 1 && !globalThis.crossOriginIsolated) {
    throw deviceRefusal(
      `${threads} threads were asked for, and this page may use one: it is not cross-origin isolated. Serve it over ` +
        'https or from localhost, with the headers of `odllm web`.',
    );
  }
  if (started === null) {
    watchHeaps();
    const ort = await import(new URL(PROVIDERS[provider].build, FOLDER));
    ort.env.wasm.wasmPaths = FOLDER.href;
    ort.env.wasm.numThreads = threads;
    ort.env.logLevel = 'error';
    started = { ort, provider, threads };
  } else if (started.provider !== provider || started.threads !== threads) {
    throw new Error('a worker runs one provider with one number of threads');
  }
  return started.ort;
}

/**
 * Open a graph whose bytes were checked.
 *
 * @param {object} ort the started runtime.
 * @param {Uint8Array} graph
 * @param {Uint8Array} weights its external data.
 * @param {{provider: string, threads: number, prepack: boolean, profile: boolean}} options
 */
export async function openGraph(ort, graph, weights, { provider, prepack, profile }) {
  try {
    return await ort.InferenceSession.create(graph, {
      executionProviders: [PROVIDERS[provider].name],
      externalData: [{ path: 'recommend.onnx.data', data: weights }],
      graphOptimizationLevel: 'all',
      enableCpuMemArena: true,
      enableMemPattern: true,
      enableProfiling: profile,
      logSeverityLevel: 4,
      extra: prepack ? {} : { session: { disable_prepacking: '1' } },
    });
  } catch (error) {
    throw refusalOf(error, 'cannot be opened');
  }
}

/** Return what the runtime's error means to a user. */
export function refusalOf(error, what) {
  if (error instanceof Refusal) return error;
  const words = error instanceof Error ? error.message : String(error);
  if (/bad_alloc|allocat|out of memory|memory access|Array buffer/i.test(words)) {
    return deviceRefusal(`the graph ${what}: the page has not enough memory (${words}). Close other pages.`);
  }
  return new Refusal(`the graph ${what} by onnxruntime-web: ${words}`);
}

/** Return the version of the started runtime. */
export function runtimeVersion() {
  return started.ort.env.versions.web ?? started.ort.env.versions.common;
}

/** Return what really computes: the graphics adapter of the runtime's device; null for wasm. */
export async function usedAdapter() {
  if (started?.provider !== 'webgpu-browser') return null;
  const device = await started.ort.env.webgpu.device;
  return device ? describeAdapter(device.adapterInfo) : null;
}

/** Return the graphics adapter that a page gets here; null if there is none. */
export async function offeredAdapter() {
  const adapter = await globalThis.navigator.gpu?.requestAdapter();
  return adapter ? describeAdapter(adapter.info) : null;
}

function describeAdapter({ vendor, architecture, device, description, isFallbackAdapter }) {
  const name = [vendor, architecture, device, description].filter(Boolean).join(' ') || 'unnamed';
  return { name, software: isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe/i.test(name) };
}

/** Remember the memories that the runtime allocates: it tells nobody how much they hold. */
function watchHeaps() {
  const Original = WebAssembly.Memory;
  WebAssembly.Memory = class extends Original {
    constructor(descriptor) {
      super(descriptor);
      heaps.push(this);
    }
  };
}

/** The runtime's profile, which onnxruntime-web writes to the console as one JSON array over many lines. */
export class Profile {
  #print = console.log;
  #lines = [];

  /** Listen; before the runtime is started, because it keeps the console's function that it finds then. */
  start() {
    console.log = (...words) => this.#lines.push(words.join(' '));
  }

  /**
   * End a session's profile.
   *
   * @returns {[string, string, string][]} name, operator and provider of every node that ran, each once.
   */
  end(session) {
    this.#lines = [];
    session.endProfiling();
    console.log = this.#print; // the runtime keeps ours
    const nodes = new Map();
    for (const event of JSON.parse(this.#lines.join('\n'))) {
      if (event.cat !== 'Node' || !event.args?.provider) continue;
      const node = [event.name, event.args.op_name ?? '', event.args.provider];
      nodes.set(node.join('\n'), node);
    }
    return [...nodes.values()];
  }
}
