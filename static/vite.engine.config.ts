// The WebGPU engine alone as plain modules, kernels included: what Deno runs (tests/engine, bench).
import { defineConfig } from 'vite';

export default defineConfig({
  publicDir: false,
  build: {
    target: 'es2022',
    outDir: 'dist-engine',
    minify: false,
    lib: { entry: { webgpu: 'src/engine/webgpu/index.ts', trial: 'src/worker/trial.ts' }, formats: ['es'] },
  },
});
