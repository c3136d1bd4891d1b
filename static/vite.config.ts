import { defineConfig } from 'vite';

// Relative URLs: the built site works under any sub-path.
export default defineConfig({
  base: './',
  build: { target: 'es2022', assetsInlineLimit: 0 },
  worker: { format: 'es' },
});
