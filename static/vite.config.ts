import { defineConfig } from 'vite';

// Relative URLs: the built site works under any sub-path.
export default defineConfig({
  base: './',
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    rollupOptions: {
      input: { index: 'index.html', selftest: 'selftest.html', sw: 'src/page/offline/sw.ts' },
      // The service worker keeps its name and lies at the top: both decide which pages it may answer for.
      output: { entryFileNames: ({ name }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js') },
    },
  },
  worker: { format: 'es' },
});
