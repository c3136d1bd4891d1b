// Replaces zarrita in the built site (vite.config.ts): the page reads scans itself and opens no Zarr store.

function refuse(): never {
  throw new Error('Zarr images cannot be opened on this page.');
}

export { refuse as get, refuse as open, refuse as root, refuse as slice, refuse as FetchStore };
