import { existsSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const pages = ['index.html', 'selftest.html'].filter((page) => existsSync(new URL(page, import.meta.url)));

// Relative URLs: the built site works under any sub-path.
export default defineConfig({
  base: './',
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    rollupOptions: {
      input: { ...Object.fromEntries(pages.map((page) => [page.replace('.html', ''), page])), sw: 'src/offline/sw.ts' },
      // The service worker keeps its name and lies at the top: both decide which pages it may answer for.
      output: { entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
  worker: { format: 'es' },
  // A busy machine must not fail a test that is merely slow.
  test: { testTimeout: 60_000 },
});
