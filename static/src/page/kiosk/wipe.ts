// Leaving nothing behind: everything a page can have stored, then a page loaded anew.
import type { ToServiceWorker } from '../offline/messages';

/** A service worker takes over at once; longer than this and the page goes on with the version it has. */
const UPDATE_PATIENCE_MS = 3000;

/** Empties the storage of the site (the offline copy of the site itself stays) and loads the page again. */
export async function wipePage(): Promise<void> {
  for (const field of document.querySelectorAll('input')) {
    // A browser may fill in the same file or text again after a reload.
    if (field.type === 'file' || field.type === 'text') field.value = '';
  }
  // A store that the browser withholds must not keep the page, and the scan on it, from going.
  const steps: readonly (() => unknown)[] = [() => { localStorage.clear(); }, () => { sessionStorage.clear(); }, deleteDatabases, takeUpdate];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      console.warn('kiosk: a store could not be emptied', error);
    }
  }
  // A new document: the scan, the results and the worker's memory go with the old one. Query kept: it is the operator's.
  location.replace(location.pathname + location.search);
}

async function deleteDatabases(): Promise<void> {
  for (const { name } of await indexedDB.databases()) if (name !== undefined) indexedDB.deleteDatabase(name);
}

/** A kiosk's window is never closed, so a newer version of the site gets its chance between two visitors. */
async function takeUpdate(): Promise<void> {
  if (!('serviceWorker' in navigator)) return;
  const waiting = (await navigator.serviceWorker.getRegistration())?.waiting;
  if (!waiting) return;
  const taken = new Promise((resolve) => {
    navigator.serviceWorker.addEventListener('controllerchange', resolve, { once: true });
  });
  waiting.postMessage({ type: 'apply-update' } satisfies ToServiceWorker);
  await Promise.race([taken, new Promise((resolve) => setTimeout(resolve, UPDATE_PATIENCE_MS))]);
}
