// Service worker: keeps one whole version of site, models and kernels, and answers from it, with or without a network.
//
// Written here rather than taken from Workbox: the list of files comes from the running server (its models
// are not known when the site is built), each download is checked against its hash, and the answers carry
// the isolation headers. One loop is all that remains for a precaching library to do.
//
// Versions never mix. A version has its own cache, filled completely and checked by hash before it counts as
// installed, and it answers only windows that were loaded from it: it takes over when the last window of the
// version before is closed, or when the visitor asks for it in the only open window, which then reloads.
import type { FromServiceWorker, ToServiceWorker } from './messages';
import { answerHeaders, cacheName, failureSentence, HASH_HEADER, isOurs, pathOf } from './precache';
import type { Precache, PrecachedFile } from './precache';

const worker = self as unknown as ServiceWorkerGlobalScope & { readonly PRECACHE: Precache };
const precache = worker.PRECACHE;
const scope = new URL('./', worker.location.href).href;
const ownCache = cacheName(scope, precache.version);
const byPath = new Map(precache.files.map((file) => [file.path, file]));

worker.addEventListener('install', (event) => {
  event.waitUntil(keepThisVersion());
});

worker.addEventListener('activate', (event) => {
  event.waitUntil(forgetOtherVersions());
});

worker.addEventListener('fetch', (event) => {
  if (event.request.method !== 'GET') return;
  const path = pathOf(event.request.url, scope);
  const file = path === null ? undefined : byPath.get(path);
  if (file !== undefined) event.respondWith(answer(file));
});

worker.addEventListener('message', (event) => {
  const { type } = event.data as { readonly type: unknown };
  if (type === ('apply-update' satisfies ToServiceWorker['type'])) event.waitUntil(applyUpdate(event.source));
});

async function keepThisVersion(): Promise<void> {
  try {
    const cache = await caches.open(ownCache);
    let done = 0;
    for (const file of precache.files) {
      await cache.put(scope + file.path, (await copyOfUnchanged(file)) ?? (await download(file)));
      done += 1;
      await tellWindows({ type: 'keeping', done, total: precache.files.length });
    }
  } catch (error) {
    await caches.delete(ownCache);
    await tellWindows({ type: 'not-kept', reason: failureSentence(error, precache) });
    throw error;
  }
}

/** The same bytes in a cache of another version, under this version's headers; null where there are none. */
async function copyOfUnchanged(file: PrecachedFile): Promise<Response | null> {
  for (const name of await caches.keys()) {
    if (!isOurs(name, scope)) continue;
    const kept = await (await caches.open(name)).match(scope + file.path);
    if (kept?.headers.get(HASH_HEADER) === file.sha256) return new Response(kept.body, { headers: answerHeaders(file, precache) });
  }
  return null;
}

/** Fetches a file of this very version; throws where the server is away or already has another one. */
async function download(file: PrecachedFile): Promise<Response> {
  const response = await fetch(scope + file.path, { cache: 'no-cache' });
  if (!response.ok) throw new Error(`${file.path}: the server answered ${response.status}`);
  const body = await response.arrayBuffer();
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', body));
  const sha256 = Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
  if (sha256 !== file.sha256) throw new Error(`${file.path}: the server has another version by now`);
  return new Response(body, { headers: answerHeaders(file, precache) });
}

async function answer(file: PrecachedFile): Promise<Response> {
  const kept = await (await caches.open(ownCache)).match(scope + file.path);
  if (kept) return kept;
  // The visitor, or a full disk, emptied the cache: the same bytes or none.
  try {
    return await download(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return new Response(`${reason}. Close every window of this site and open it again.`, { status: 503, headers: precache.headers });
  }
}

async function forgetOtherVersions(): Promise<void> {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => isOurs(name, scope) && name !== ownCache).map((name) => caches.delete(name)));
}

async function applyUpdate(asking: ExtendableMessageEvent['source']): Promise<void> {
  const others = (await windows()).filter((client) => client.id !== (asking as Client | null)?.id).length;
  if (others === 0) await worker.skipWaiting();
  else asking?.postMessage({ type: 'windows-open', others } satisfies FromServiceWorker);
}

async function tellWindows(message: FromServiceWorker): Promise<void> {
  for (const client of await windows()) client.postMessage(message);
}

async function windows(): Promise<readonly WindowClient[]> {
  const all = await worker.clients.matchAll({ type: 'window', includeUncontrolled: true });
  return all.filter((client) => client.url.startsWith(scope));
}
