// Compiles src/engine/cpu/kernel.c and planner.c to WebAssembly with the Zig compiler of the PyPI package `ziglang`:
//   node scripts/build-wasm.mjs [--force]
// Four variants of the same sources: with and without relaxed SIMD, with and without shared memory (threads). They are
// build products: git ignores them, Vite bundles them. Does nothing where they are newer than every source.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findPython } from './python.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const folder = join(here, '..', 'src', 'engine', 'cpu');

const BASE = [
  'cc', '-target', 'wasm32-freestanding', '-std=c17', '-O3', '-msimd128', '-mbulk-memory', '-ffp-contract=off',
  '-Wall', '-Wextra', '-Werror', '-fno-builtin', '-nostdlib', '-Wl,--no-entry', '-Wl,--import-memory', '-Wl,--strip-all',
  '-Wl,--export=__stack_pointer', '-Wl,--export=__heap_base', '-Wl,-z,stack-size=16384',
];
const SHARED = ['-matomics', '-Wl,--shared-memory', '-Wl,--max-memory=4294901760'];
const VARIANTS = {
  'kernel-simd': ['-Wl,--max-memory=4294901760'],
  'kernel-relaxed': ['-mrelaxed-simd', '-Wl,--max-memory=4294901760'],
  'kernel-simd-shared': SHARED,
  'kernel-relaxed-shared': ['-mrelaxed-simd', ...SHARED],
};

const outputs = Object.keys(VARIANTS).map((name) => join(folder, `${name}.wasm`));
const sources = readdirSync(folder).filter((name) => /\.[ch]$/.test(name)).map((name) => join(folder, name));
if (process.argv.includes('--force') || !upToDate()) build(findPython());

function upToDate() {
  const newest = Math.max(...[...sources, fileURLToPath(import.meta.url)].map((path) => statSync(path).mtimeMs));
  return outputs.every((path) => existsSync(path) && statSync(path).mtimeMs > newest);
}

function build(python) {
  for (const [name, flags] of Object.entries(VARIANTS)) {
    const partial = join(folder, `${name}.${process.pid}.wasm`);
    const done = spawnSync(python, ['-m', 'ziglang', ...BASE, ...flags, '-o', partial, join(folder, 'kernel.c'), join(folder, 'planner.c')], { encoding: 'utf8' });
    if (done.status !== 0) {
      console.error(`build-wasm: ${name}: the compiler ended with code ${done.status}\n${done.stderr}`);
      process.exit(1);
    }
    renameSync(partial, join(folder, `${name}.wasm`));
  }
  console.log(`build-wasm: ${outputs.length} variants of the CPU kernel`);
}
