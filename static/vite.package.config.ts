// The npm package as plain modules: the entry, its worker and the CPU engine's thread share chunks. `npm run package` builds it.
import { defineConfig, type Plugin } from 'vite';

/**
 * Vite would bundle each worker apart, with another copy of all it imports. Here workers are entries of the one build,
 * so their URLs become those of the built files. A bundler of the package's user finds the same
 * `new Worker(new URL('./worker.js', import.meta.url))` in it.
 */
function workersAsEntries(): Plugin {
  return {
    name: 'workers-as-entries',
    enforce: 'pre',
    transform: (code) => code.replace(/new URL\('\.\/(worker|thread)\.ts', import\.meta\.url\)/g, "new URL(/* @vite-ignore */ './$1.js', import.meta.url)"),
    // The comment would hide the worker from the user's Vite too.
    renderChunk: (code) => code.replaceAll('/* @vite-ignore */', ''),
  };
}

/** A library's assets become text inside the code; these stay files beside it. */
function assetsAsFiles(): Plugin {
  return { name: 'assets-as-files', enforce: 'pre', transform: (code) => code.replace(/\?url'/g, "?url&no-inline'") };
}

export default defineConfig({
  base: './',
  publicDir: false,
  plugins: [workersAsEntries(), assetsAsFiles()],
  build: {
    target: 'es2022',
    outDir: 'dist-package/dist',
    minify: false, // readable code; users' bundlers minify
    lib: { entry: { index: 'src/package/index.ts', worker: 'src/package/worker.ts', thread: 'src/engine/cpu/thread.ts' }, formats: ['es'] },
    rollupOptions: { output: { entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js', assetFileNames: '[name]-[hash][extname]' } },
  },
});
