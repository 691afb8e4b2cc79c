/** Keeps page, runtime and bundle. `SITE` (version, files, and those only for WebGPU) is written before this text. */

/* global SITE */
const OWN = `odllm ${registration.scope} `; // other sites of this origin have others
const CACHE = OWN + SITE.version;

/** What threads need, for servers that do not send it. */
const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

addEventListener('install', (event) => event.waitUntil(keepAll()));

addEventListener('activate', (event) => event.waitUntil(forgetOthers()));

// A page says so once a newer version is complete; then it loads itself anew.
addEventListener('message', (event) => {
  if (event.data === 'take over') self.skipWaiting();
});

addEventListener('fetch', (event) => {
  const address = new URL(event.request.url);
  if (event.request.method === 'GET' && address.origin === location.origin) {
    event.respondWith(answer(event.request));
  }
});

async function keepAll() {
  const cache = await caches.open(CACHE);
  await cache.addAll([...SITE.files, ...(navigator.gpu ? SITE.webgpu : [])]);
}

async function forgetOthers() {
  for (const name of await caches.keys()) {
    if (name.startsWith(OWN) && name !== CACHE) await caches.delete(name);
  }
  await clients.claim();
}

async function answer(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request, { ignoreSearch: true });
  return isolated(kept ?? (await fetch(request)));
}

function isolated(response) {
  if (response.status === 0 || response.headers.has('Cross-Origin-Embedder-Policy')) return response;
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATION)) headers.set(name, value);
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}
