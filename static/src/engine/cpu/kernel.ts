// The compiled C: which variant this machine runs, and an instance of it on a memory.
import relaxedUrl from './kernel-relaxed.wasm?url';
import relaxedSharedUrl from './kernel-relaxed-shared.wasm?url';
import simdUrl from './kernel-simd.wasm?url';
import simdSharedUrl from './kernel-simd-shared.wasm?url';
import { readUrl } from '../read-url';

/** The module's exports; plan.h and kernel.c document them. `plan`, `pass` and tensors are addresses. */
export interface Kernel {
  readonly plan_size: (layers: number) => number;
  readonly plan_begin: (plan: number, layers: number, x: number, y: number, z: number, order: number, unit: number, threads: number, inspect: number, resultsInMemory: number) => void;
  readonly plan_layer: (plan: number, layer: number, inChannels: number, outChannels: number, dilation: number, activation: number, hasNorm: number, eps: number) => void;
  readonly plan_bytes: (plan: number) => number;
  readonly plan_place: (plan: number, memory: number) => void;
  readonly plan_load: (plan: number, layer: number, weight: number, bias: number, normWeight: number, normBias: number) => void;
  readonly plan_volume: (plan: number) => number;
  readonly plan_plane_stride: (plan: number) => number;
  readonly plan_slots: (plan: number, layer: number) => number;
  readonly plan_label_plane: (plan: number, plane: number) => number;
  readonly plan_probabilities: (plan: number) => number;
  readonly plan_logits: (plan: number) => number;
  readonly plan_control: (plan: number) => number;
  readonly plan_control_length: (plan: number) => number;
  readonly plan_scratch: (plan: number, thread: number) => number;
  readonly plan_passes: (plan: number) => number;
  readonly plan_pass: (plan: number, index: number) => number;
  readonly pass_layer: (pass: number) => number;
  readonly pass_steps: (pass: number) => number;
  readonly pass_items: (pass: number) => number;
  readonly pass_macs: (pass: number) => number;
  readonly kernel_unit: () => number;
  readonly run_item: (pass: number, step: number, item: number, scratch: number) => void;
  // For tests.
  readonly activate_values: (values: number, n: number, activation: number) => void;
  readonly pack_convolution: (to: number, weight: number, outputs: number, channels: number, points: number, order: number) => void;
  readonly pack_classifier: (to: number, weight: number, outputs: number, channels: number) => void;
  readonly block_outputs: (outputs: number, block: number) => number;
  readonly residue_order: (to: number, n: number, dilation: number) => void;
  readonly __stack_pointer: WebAssembly.Global;
  readonly __heap_base: WebAssembly.Global;
}

/** Abilities of this browser. */
export interface Features {
  readonly simd: boolean;
  /** Fused multiply-add. */
  readonly relaxedSimd: boolean;
  /** Shared memory, which browsers give only to cross-origin isolated pages, and Deno to everybody. */
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
    threads: typeof SharedArrayBuffer !== 'undefined' && (globalThis.crossOriginIsolated || 'Deno' in globalThis) && typeof Worker !== 'undefined',
  };
}

/** Throws an Error where the file cannot be fetched. */
export async function loadKernel(relaxedSimd: boolean, shared: boolean): Promise<WebAssembly.Module> {
  const url = relaxedSimd ? (shared ? relaxedSharedUrl : relaxedUrl) : shared ? simdSharedUrl : simdUrl;
  const response = await readUrl(url);
  if (!response.ok) throw new Error(`CPU kernel: ${url} answered ${response.status}; reload the page`);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** An instance; `stackTop`: the address one past its stack, by default that of the module's stack, which one thread may use. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory, stackTop?: number): Kernel {
  const kernel = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernel;
  if (stackTop !== undefined) kernel.__stack_pointer.value = stackTop;
  return kernel;
}
