// What an engine takes and gives. No DOM here: engines run in a worker, under Deno and in tests.
//
// Memory order, said once: every volume is in NIfTI order, x (= i) fastest, then y (= j), then z (= k).
// The network's axes D, H, W are i, j, k, so a kernel tap [d][h][w] reads voxel (x + d, y + h, z + w).
import type { Dims } from '../volume/volume';

export type Activation = 'relu' | 'elu' | 'gelu' | 'gelu_tanh' | 'none';

/** Per-channel norm over the whole volume: (x − mean) / √(var + eps) · weight + bias, biased variance. */
export interface InstanceNorm {
  readonly eps: number;
  /** [outChannels], or null without affine. */
  readonly weight: Float32Array | null;
  readonly bias: Float32Array | null;
}

/** Convolution (stride 1, zero padding dilation·(kernelSize − 1)/2), then norm, then activation. */
export interface Layer {
  readonly name: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: 1 | 3;
  readonly dilation: number;
  /** [outChannels][inChannels][kx][ky][kz], kz fastest: exactly the file's [O][I][D][H][W]. */
  readonly weight: Float32Array;
  /** [outChannels]; zeros where the model has none. */
  readonly bias: Float32Array;
  readonly norm: InstanceNorm | null;
  readonly activation: Activation;
}

/** The whole network, BatchNorm folded. The last layer is the 1×1×1 classifier (activation `none`). */
export interface Graph {
  readonly layers: readonly Layer[];
  readonly inChannels: number;
  readonly classes: number;
}

export interface EngineInput {
  /** [inChannels][z][y][x] float32, normalised and in the model's orientation. */
  readonly data: Float32Array;
  readonly dims: Dims;
}

export interface Progress {
  /** Layer being computed, 0-based, and how many there are. */
  readonly layer: number;
  readonly layers: number;
  /** Share of all multiply-adds done, 0…1. */
  readonly fraction: number;
}

export interface RunOptions {
  readonly onProgress?: (progress: Progress) => void;
  /** Aborting rejects the run with the signal's reason (a DOMException named AbortError) within a second. */
  readonly signal?: AbortSignal;
  /** Also write the 8-bit margin: round(255 · (p₁ − p₂)), the two largest softmax probabilities. */
  readonly margin?: boolean;
  /** Store activations as a volume of this size would have them (float32 or float16), not as this one. */
  readonly storedAsFor?: Dims;
  /** Upper bound for any single buffer or texture, in bytes; tests use it to force small chunks. */
  readonly maxBufferBytes?: number;
  /**
   * For tests: receives each layer's output [outChannels][z][y][x] as float32, the classifier's logits
   * last. Layers are computed unfused where that is needed to have them.
   */
  readonly inspect?: (layer: number, output: Float32Array) => void;
}

export interface LayerTiming {
  readonly name: string;
  readonly milliseconds: number;
  /** Of these, time in the kernels by the device's own clock; absent where it has none. */
  readonly gpuMilliseconds?: number;
}

export interface RunResult {
  /** [z][y][x] class index per voxel; the lowest index wins a tie, as in torch.argmax. */
  readonly labels: Uint8Array;
  readonly margin: Uint8Array | null;
  readonly timings: readonly LayerTiming[];
  /** Most bytes of activations, weights and staging allocated at once by the engine. */
  readonly peakBytes: number;
  readonly largestBufferBytes: number;
  /** What the engine decided for this run, for the diagnostics. */
  readonly details?: Readonly<Record<string, string | number>>;
}

export type BackendId = 'webgpu' | 'webgl2' | 'cpu' | 'tfjs';

/** Whether a backend can run here, and what on; `software` ranks it after the CPU. */
export type Probe =
  | { readonly available: true; readonly device: string; readonly software: boolean; readonly details: Readonly<Record<string, string | number>> }
  | { readonly available: false; readonly reason: string };

/** One way to run a graph. Implementations hold their device or threads until `dispose`. */
export interface Backend {
  readonly id: BackendId;
  run(graph: Graph, input: EngineInput, options?: RunOptions): Promise<RunResult>;
  dispose(): void;
}

/** What each backend module exports: `probe` is cheap, `open` throws an Error whose message says why not. */
export interface BackendModule {
  readonly id: BackendId;
  probe(): Promise<Probe>;
  open(): Promise<Backend>;
}
