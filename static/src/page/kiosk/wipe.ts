// Deletes everything that the page may have stored, then loads it anew.
import { clearStorage } from '../kept/storage';
import type { ToServiceWorker } from '../offline/messages';

/** A waiting service worker usually takes over at once; after this time the page goes on with its present version. */
const UPDATE_PATIENCE_MS = 3000;

/** Empties the storage of the site (the offline copy of the site itself stays) and loads the page again. */
export async function wipePage(): Promise<void> {
  for (const field of document.querySelectorAll('input')) {
    // A browser may fill in the same file or text again after a reload.
    if (field.type === 'file' || field.type === 'text') field.value = '';
  }
  // The page is reloaded, and the scan with it gone, even where the browser withholds a store.
  const steps: readonly (() => unknown)[] = [() => { localStorage.clear(); }, () => { sessionStorage.clear(); }, deleteDatabases, clearStorage, takeUpdate];
  for (const step of steps) {
    try {
      await step();
    } catch (error) {
      console.warn('kiosk: a store could not be emptied', error);
    }
  }
  // A new document: the scan, the results and the worker's memory go with the old one. The query is kept: the operator set it.
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
