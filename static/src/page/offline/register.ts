// The page's side of the service worker: starts it and reports the state of use without a network.
import { say } from '../texts/message';
import type { Text } from '../texts/message';
import type { FromServiceWorker, ToServiceWorker } from './messages';

export type OfflineState =
  /** Files of this version are being fetched. */
  | { readonly kind: 'keeping'; readonly done: number; readonly total: number }
  /** Everything works without the server from now on; `note` says why a newer version could not be kept. */
  | { readonly kind: 'ready'; readonly note?: Text }
  /** The site does not work without the server; `reason` is a sentence. */
  | { readonly kind: 'unavailable'; readonly reason: Text }
  /** A newer version is complete; `applyUpdate` reloads the page into it. */
  | { readonly kind: 'update' }
  /** The newer version can't be applied while `others` windows show the version before. */
  | { readonly kind: 'windows-open'; readonly others: number };

export interface OfflineOptions {
  readonly show: (state: OfflineState) => void;
  /** Whether a reload would lose nothing of the visitor's. */
  readonly mayReload: () => boolean;
}

/** Registers sw.js beside the page and reports until the page closes. Never throws: the site works without. */
export async function keepOffline({ show, mayReload }: OfflineOptions): Promise<void> {
  // Absent where the address is not secure, and in private windows of some browsers.
  if (!('serviceWorker' in navigator)) {
    show({ kind: 'unavailable', reason: say(window.isSecureContext ? 'offline.private' : 'offline.insecure') });
    return;
  }
  const container = navigator.serviceWorker;
  const wasControlled = container.controller !== null;
  let failure: Text | null = null;
  // Messages of a service worker may arrive after it has changed its state.
  let complete = false;

  container.addEventListener('message', (event: MessageEvent<FromServiceWorker>) => {
    const message = event.data;
    if (message.type === 'keeping') {
      if (!complete) show({ kind: 'keeping', done: message.done, total: message.total });
    } else if (message.type === 'windows-open') show({ kind: 'windows-open', others: message.others });
    else {
      failure = message.reason;
      show(wasControlled ? { kind: 'ready', note: failure } : { kind: 'unavailable', reason: failure });
    }
  });

  const offerUpdate = (): void => {
    complete = true;
    show({ kind: 'update' });
  };
  const follow = (installing: ServiceWorker): void => {
    installing.addEventListener('statechange', () => {
      if (installing.state === 'installed' && wasControlled) offerUpdate();
      else if (installing.state === 'activated' && !wasControlled) becomeReady();
      else if (installing.state === 'redundant' && !wasControlled) show({ kind: 'unavailable', reason: failure ?? say('offline.stopped') });
    });
  };
  const becomeReady = (): void => {
    complete = true;
    // A plain file server can't send the headers that threads need; the service worker can, from the next load on.
    if (!crossOriginIsolated && container.controller === null && mayReload()) location.reload();
    else show({ kind: 'ready' });
  };

  try {
    const registration = await container.register(new URL('sw.js', document.baseURI), { updateViaCache: 'none' });
    registration.addEventListener('updatefound', () => {
      complete = false;
      if (registration.installing) follow(registration.installing);
    });
    if (registration.installing) follow(registration.installing);
    if (registration.waiting && wasControlled) offerUpdate();
    else if (registration.active) becomeReady();
  } catch (error) {
    if (wasControlled) show({ kind: 'ready' }); // the server is away, and the kept site works without it
    else show({ kind: 'unavailable', reason: say('offline.privateFor', { reason: error instanceof Error ? error.message : String(error) }) });
  }
}

/** Reloads the page into the newer version, unless other windows still show this one. */
export async function applyUpdate(): Promise<void> {
  const waiting = (await navigator.serviceWorker.getRegistration())?.waiting;
  if (!waiting) return;
  navigator.serviceWorker.addEventListener('controllerchange', () => { location.reload(); }, { once: true });
  waiting.postMessage({ type: 'apply-update' } satisfies ToServiceWorker);
}
