// Input and output of an engine. No DOM here: engines run in a worker, under Deno and in tests.
//
// Axes and memory order, for all of engine/: x = i, y = j, z = k of the conformed volume; x runs fastest in memory (NIfTI
// order), then y, then z. The network's axes D, H, W are i, j, k, that is x, y, z: a kernel tap [kx][ky][kz] with dilation d
// reads the voxel (x + (kx − 1)·d, y + (ky − 1)·d, z + (kz − 1)·d). A plane is all voxels of one z.
import type { Dims } from '../volume/volume';

export type Activation = 'relu' | 'elu' | 'gelu' | 'gelu_tanh' | 'none';

/** Per-channel norm over the whole volume: (value − mean) / √(variance + eps) · weight + bias, biased variance. */
export interface InstanceNorm {
  readonly eps: number;
  /** [outChannels], or null without affine. */
  readonly weight: Float32Array | null;
  /** [outChannels], or null without affine. */
  readonly bias: Float32Array | null;
}

/** Convolution (stride 1, zero padding dilation·(kernelSize − 1)/2), then norm, then activation. */
export interface Layer {
  readonly name: string;
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: 1 | 3;
  readonly dilation: number;
  /** [outChannels][inChannels][kx][ky][kz], kz fastest: the file's [O][I][D][H][W]. */
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
  /** Index of the layer being computed, from 0. */
  readonly layer: number;
  /** Number of layers, classifier included. */
  readonly layers: number;
  /** Share of the network's multiply-adds that are done, 0…1; norms count zero. The last report of a run says 1. */
  readonly fraction: number;
}

export interface RunOptions {
  readonly onProgress?: (progress: Progress) => void;
  /** Aborting rejects the run with the signal's reason (a DOMException named AbortError) within a second. */
  readonly signal?: AbortSignal;
  /** Also write the probability of every class but the background, in 8 bits (`RunResult.probabilities`). */
  readonly probabilities?: boolean;
  /** Choose the storage format (float32 or float16) as for a volume of this size. */
  readonly storedAsFor?: Dims;
  /** Upper bound of any single buffer or texture, in bytes; tests set it to get small chunks. The CPU engine ignores it. */
  readonly maxBufferBytes?: number;
  /**
   * For tests: receives each layer's output [outChannels][z][y][x] as float32, the classifier's logits
   * last. Layers are computed unfused where that is needed to have them.
   */
  readonly inspect?: (layer: number, output: Float32Array) => void;
}

/**
 * Time of one layer, the same meaning for every engine. The entries of a run are `prepare` (planning, compiling,
 * allocating: everything before the first layer) and then every layer of the graph, in order. They add up to the run's time.
 */
export interface LayerTiming {
  readonly name: string;
  /**
   * By the wall clock, from the end of the layer before to the end of this one: kernels, uploads, reading back, waiting.
   * A classifier that runs together with the last convolution counts to that layer and is itself 0.
   */
  readonly milliseconds: number;
  /** Of these, time in the kernels by the device's own clock; absent where it has none. */
  readonly gpuMilliseconds?: number;
}

export interface RunResult {
  /** [z][y][x] class index per voxel; the lowest index wins a tie, as in torch.argmax. */
  readonly labels: Uint8Array;
  /**
   * [class − 1][z][y][x] softmax probability p of the classes 1, 2, …; null unless asked for. A value is
   * ⌊255 p + ½⌋, at most 127 where the label is another class, and in a network of two classes at least 128 where it is
   * this one: so 128, the first value of p ≥ ½, never contradicts the label. Class 0 has the rest (volume/confidence.ts).
   */
  readonly probabilities: Uint8Array | null;
  readonly timings: readonly LayerTiming[];
  /** The most bytes of activations, weights and staging that the engine had allocated at once. */
  readonly peakBytes: number;
  readonly largestBufferBytes: number;
  /** The storage format and the engine's other decisions for this run, for the diagnostics. */
  readonly details?: Readonly<Record<string, string | number>>;
}

export type BackendId = 'webgpu' | 'webgl2' | 'cpu' | 'tfjs';

/** Whether a backend can run here, and on which device; `software` ranks it after the CPU. */
export type Probe =
  | { readonly available: true; readonly device: string; readonly software: boolean; readonly details: Readonly<Record<string, string | number>> }
  | { readonly available: false; readonly reason: string };

/** One way to run a graph. Implementations hold their device or threads until `dispose`. */
export interface Backend {
  readonly id: BackendId;
  run(graph: Graph, input: EngineInput, options?: RunOptions): Promise<RunResult>;
  dispose(): void;
}

/** A backend before it is opened. `probe` is cheap; `open` rejects with an Error whose message says why the backend can't run. */
export interface BackendModule {
  readonly id: BackendId;
  probe(): Promise<Probe>;
  open(): Promise<Backend>;
}
