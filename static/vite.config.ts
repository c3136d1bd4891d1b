import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

// Names of built files. The server keeps no file whose name says tfjs or selftest for use without a network
// (NOT_KEPT in webapp/offline.py).
const FILE_NAMES = {
  entryFileNames: ({ name }: { name: string }) => (name === 'sw' ? 'sw.js' : 'assets/[name]-[hash].js'),
  chunkFileNames: ({ moduleIds }: { moduleIds: readonly string[] }) =>
    moduleIds.some((id) => id.endsWith('/engine/tfjs/run.ts')) ? 'assets/tfjs-run-[hash].js' : 'assets/[name]-[hash].js',
};

const GRADIENT = /(if \(layer === 0\) \{\s*this\.volumeTexture = outTexture;\s*)(this\.gradientTexture = gradientGL\()/;

/**
 * NiiVue computes a gradient of every scan for its lit rendering, which the page doesn't use: more than a second without a
 * graphics card, and 8 bytes of graphics memory per voxel. The built site computes it only where a light is set.
 */
function withoutGradient(): Plugin {
  let found = false;
  return {
    name: 'niivue-without-gradient',
    apply: 'build',
    transform(code, id) {
      if (!id.includes('/@niivue/niivue/') || !GRADIENT.test(code)) return null;
      found = true;
      return { code: code.replace(GRADIENT, '$1if (this.gradientTextureAmount > 0) $2'), map: null };
    },
    buildEnd(error) {
      if (!found && error === undefined) this.error('NiiVue computes its gradient in another place than expected; adapt withoutGradient in vite.config.ts');
    },
  };
}

// Relative URLs: the built site works under any sub-path.
export default defineConfig({
  base: './',
  plugins: [withoutGradient()],
  // NiiVue's reader of Zarr brings 1.4 MB of codecs, and the page gives NiiVue plain arrays only.
  // dcm2niix's package exports its own worker alone, which sends what dcm2niix prints to the console.
  resolve: { alias: { 'zarrita': file('src/page/picture/no-zarr.ts'), 'dcm2niix-module': file('node_modules/@niivue/dcm2niix/dist/dcm2niix.jpeg.js') } },
  build: {
    target: 'es2022',
    assetsInlineLimit: 0,
    rollupOptions: {
      // The service worker keeps its name and lies at the top: both decide which pages it may answer for.
      input: { index: 'index.html', selftest: 'selftest.html', sw: 'src/page/offline/sw.ts' },
      output: FILE_NAMES,
    },
  },
  worker: {
    format: 'es',
    rollupOptions: {
      output: {
        ...FILE_NAMES,
        // All of TF.js is one chunk without any module of ours in it, so both workers' builds write the same file.
        codeSplitting: { groups: [{ name: 'tfjs', test: /node_modules[\\/](@tensorflow|long|seedrandom)[\\/]/ }] },
      },
    },
  },
});
