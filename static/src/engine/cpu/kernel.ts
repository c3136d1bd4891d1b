// The compiled kernel.c: which variant this machine runs, and an instance of it on a memory.
import relaxedUrl from './kernel-relaxed.wasm?url';
import relaxedSharedUrl from './kernel-relaxed-shared.wasm?url';
import simdUrl from './kernel-simd.wasm?url';
import simdSharedUrl from './kernel-simd-shared.wasm?url';

/** What kernel.c exports. */
export interface Kernel {
  readonly convolve: StepFunction;
  readonly merge: StepFunction;
  readonly normalize: StepFunction;
  readonly classify: StepFunction;
  readonly activate_values: (values: number, n: number, activation: number) => void;
  readonly __stack_pointer: WebAssembly.Global;
  readonly __heap_base: WebAssembly.Global;
}
type StepFunction = (job: number, step: number, item: number, scratch: number) => void;

export interface Features {
  readonly simd: boolean;
  /** Fused multiply-add. */
  readonly relaxedSimd: boolean;
  /** Shared memory, which browsers give only to cross-origin isolated pages. */
  readonly threads: boolean;
}

const HEAD = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 5, 1, 0x60, 0, 1, 0x7b, 3, 2, 1, 0];
const SPLAT = [0x41, 0, 0xfd, 0x0f];
/** A function that returns i8x16.splat(0). */
const USES_SIMD = [...HEAD, 0x0a, 8, 1, 6, 0, ...SPLAT, 0x0b];
/** A function that returns f32x4.relaxed_madd of three such vectors. */
const USES_RELAXED_SIMD = [...HEAD, 0x0a, 19, 1, 17, 0, ...SPLAT, ...SPLAT, ...SPLAT, 0xfd, 0x85, 2, 0x0b];

export function detectFeatures(): Features {
  const runs = (bytes: number[]) => typeof WebAssembly !== 'undefined' && WebAssembly.validate(new Uint8Array(bytes));
  return {
    simd: runs(USES_SIMD),
    relaxedSimd: runs(USES_RELAXED_SIMD),
    threads: typeof SharedArrayBuffer !== 'undefined' && globalThis.crossOriginIsolated && typeof Worker !== 'undefined',
  };
}

/** Throws an Error where the file cannot be fetched. */
export async function loadKernel(relaxedSimd: boolean, shared: boolean): Promise<WebAssembly.Module> {
  const url = relaxedSimd ? (shared ? relaxedSharedUrl : relaxedUrl) : shared ? simdSharedUrl : simdUrl;
  const response = await fetch(url);
  if (!response.ok) throw new Error(`CPU kernel: ${url} answered ${response.status}; reload the page`);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** An instance with its own stack: `stackTop` is the address one past it. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory, stackTop: number): Kernel {
  const kernel = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernel;
  kernel.__stack_pointer.value = stackTop;
  return kernel;
}
