/** What the page needs of its server, and how it does without: a service worker keeps everything here. */

const RELOADED = 'odllm-reloaded-for-threads';

/**
 * Keep page, runtime and bundle in this browser, so that the page works without its server.
 *
 * @param {(words: string) => void} tell whether it does.
 */
export async function keepOffline(tell) {
  if (!globalThis.isSecureContext || !navigator.serviceWorker) {
    tell('Needs its server: a browser keeps pages only of https and of localhost.');
    return;
  }
  const controlled = navigator.serviceWorker.controller !== null;
  let registration;
  try {
    registration = await navigator.serviceWorker.register('service-worker.js', { updateViaCache: 'none' });
  } catch (error) {
    if (controlled) tell('Works offline.');
    else tell(`Needs its server: this browser keeps nothing (${error.message}).`);
    return;
  }
  if (controlled) changeToNewer(registration);
  else tellOfFirst(registration.installing, tell);
  await navigator.serviceWorker.ready;
  tell('Works offline.');
  reloadForThreads();
}

/** Tell that the first version is being kept, or that it could not be. */
function tellOfFirst(worker, tell) {
  tell('Saving for offline use …');
  worker?.addEventListener('statechange', () => {
    if (worker.state === 'redundant') tell('Needs its server: this browser has no room, or the server went away.');
  });
}

/** Once a newer version is complete, let it take over, and load the page anew. */
function changeToNewer(registration) {
  navigator.serviceWorker.addEventListener('controllerchange', () => location.reload());
  const whenInstalled = (worker) => {
    if (worker?.state === 'installed') worker.postMessage('take over');
  };
  whenInstalled(registration.waiting);
  registration.addEventListener('updatefound', () => {
    const worker = registration.installing;
    worker.addEventListener('statechange', () => whenInstalled(worker));
  });
}

/** A server that sends no isolation headers: the service worker adds them, from the next load on. */
function reloadForThreads() {
  if (globalThis.crossOriginIsolated || sessionStorage.getItem(RELOADED)) return;
  sessionStorage.setItem(RELOADED, 'yes');
  location.reload();
}

/** Return what this page cannot do because of how it was opened; null if nothing. */
export function limitsOfThisAddress() {
  if (!globalThis.isSecureContext) {
    return 'Opened over plain http: one thread, and only with its server. https or localhost has no such limits.';
  }
  if (!globalThis.crossOriginIsolated) return 'This server does not allow threads: one is used.';
  return null;
}
