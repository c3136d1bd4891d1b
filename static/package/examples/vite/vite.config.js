import { defineConfig } from 'vite';

export default defineConfig({
  // The dev server's pre-bundling would move the package's modules away from their workers and WASM.
  optimizeDeps: { exclude: ['meshnet'] },
  // The worker shares modules with the page.
  worker: { format: 'es' },
});
