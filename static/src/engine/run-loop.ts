// One run of a network, the same for every engine: checks, storage format, tasks in order, cancellation, timings, and
// the answer to too little memory. An engine (webgpu, webgl2, cpu, tfjs) brings only what its device does.
import { checkInput } from './graph';
import { LayerOutputs } from './layer-outputs';
import { Meter, Usage } from './meter';
import type { Plan, Step } from './plan';
import { machineMemoryGiB, savesMemory, type StorageFormat } from './storage';
import type { EngineInput, Graph, RunOptions, RunResult } from './types';
import type { Dims } from '../volume/volume';

/** One attempt at a run: what the engine computes from, and where it puts its results. */
export interface Run {
  readonly graph: Graph;
  readonly input: EngineInput;
  readonly options: RunOptions;
  /** How activations are stored; all arithmetic is float32. */
  readonly storage: StorageFormat;
  readonly signal: AbortSignal | undefined;
  /** The engine reports finished work here; that drives progress and timings. */
  readonly meter: Meter;
  /** The engine reports what it allocates here. */
  readonly usage: Usage;
  /** Where the engine puts every layer's output; null unless the run is inspected. */
  readonly outputs: LayerOutputs | null;
  /** [z][y][x], filled by the engine. */
  readonly labels: Uint8Array;
  /** [class − 1][z][y][x], filled by the engine as `RunResult.probabilities` says; null unless asked for. */
  readonly probabilities: Uint8Array | null;
  /** `clean` is called when the attempt is over, however it ends; the newest first. */
  readonly atEnd: (clean: () => void) => void;
}

/** A piece of a run. */
export interface Task {
  /** Index in graph.layers of the layer that the task's time counts to; null: the layer before it. */
  readonly layer: number | null;
  readonly carryOut: () => Promise<void>;
}

/** A run that is compiled and allocated. */
export interface Prepared {
  readonly tasks: Iterable<Task>;
  /** Between the last task of `layer` and the first one of `next`. */
  readonly endLayer?: (layer: number, next: number) => Promise<void>;
  /** Resolves when all tasks are over on the device, and labels and probabilities are complete. */
  readonly finish?: (layer: number) => Promise<void>;
  /** The engine's decisions for this run besides the storage format, for the diagnostics. */
  readonly details?: Readonly<Record<string, string | number>>;
}

export interface Engine {
  /** The name that its error messages begin with. */
  readonly name: string;
  readonly memory: 'memory' | 'graphics memory';
  /** The formats it can store activations in, float32 first if both. */
  readonly formats: readonly [StorageFormat, StorageFormat?];
  /** Bytes that a run in float32 takes; asked only where there are two formats. */
  readonly float32Bytes?: (graph: Graph, dims: Dims, options: RunOptions) => number;
  /** Rejects with OutOfMemory where the device cannot hold the run. */
  readonly prepare: (run: Run) => Promise<Prepared>;
}

/** The device cannot hold the run; the run loop tries a narrower format, or says how much was needed. */
export class OutOfMemory extends Error {}

/** Rejects with a sentence that says why, or with the signal's reason once it is aborted. */
export async function runGraph(engine: Engine, graph: Graph, input: EngineInput, options: RunOptions = {}): Promise<RunResult> {
  options.signal?.throwIfAborted();
  checkInput(graph, input);
  const [format, narrower] = formatsFor(engine, graph, input, options);
  const tryIn = async (storage: StorageFormat, otherwise: StorageFormat | undefined): Promise<RunResult> => {
    const usage = new Usage();
    try {
      return await attempt(engine, graph, input, options, storage, usage);
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!isOutOfMemory(error)) throw error;
      if (otherwise === undefined) throw outOfMemory(engine, usage, error);
      return tryIn(otherwise, undefined);
    }
  };
  return tryIn(format, narrower);
}

/**
 * The formats to try, in order: float32 (exact) and, if the device has no room for it, float16. On a machine that is short
 * of memory, float16 alone (storage.ts).
 */
function formatsFor({ formats, float32Bytes }: Engine, graph: Graph, input: EngineInput, options: RunOptions): Engine['formats'] {
  if (formats.length < 2 || float32Bytes === undefined) return formats;
  const bytes = float32Bytes(graph, options.storedAsFor ?? input.dims, options);
  return savesMemory(bytes, machineMemoryGiB()) ? ['float16'] : formats;
}

async function attempt(engine: Engine, graph: Graph, input: EngineInput, options: RunOptions, storage: StorageFormat, usage: Usage): Promise<RunResult> {
  const { signal } = options;
  const voxels = input.dims[0] * input.dims[1] * input.dims[2];
  const labels = new Uint8Array(voxels);
  const probabilities = options.probabilities === true ? new Uint8Array((graph.classes - 1) * voxels) : null;
  const meter = new Meter(graph, voxels, options.onProgress);
  const outputs = options.inspect === undefined ? null : new LayerOutputs(input.dims, options.inspect);
  const cleaning: (() => void)[] = [];
  const atEnd = (clean: () => void): void => { cleaning.unshift(clean); };
  try {
    const prepared = await engine.prepare({ graph, input, options, storage, signal, meter, usage, outputs, labels, probabilities, atEnd });
    meter.prepared();
    await carryOut(prepared, signal);
    const { peakBytes, largestBufferBytes } = usage;
    return { labels, probabilities, timings: meter.finish(), peakBytes, largestBufferBytes, details: { storage, ...prepared.details } };
  } finally {
    for (const clean of cleaning) clean();
  }
}

async function carryOut({ tasks, endLayer, finish }: Prepared, signal: AbortSignal | undefined): Promise<void> {
  let layer = 0;
  for (const task of tasks) {
    signal?.throwIfAborted();
    const next = task.layer ?? layer;
    if (next !== layer) await endLayer?.(layer, next);
    layer = next;
    await task.carryOut();
  }
  await finish?.(layer);
  signal?.throwIfAborted();
}

/** A GPU plan's steps as tasks. Classifying counts to the last convolution where it alternates with it. */
export function tasksOf(plan: Plan, graph: Graph, carryOut: (step: Step) => Promise<void>): Task[] {
  const layerOf = (step: Step): number | null => {
    if (step.kind === 'upload' || step.kind === 'labels') return null;
    return step.kind === 'classify' && step.raw ? graph.layers.length - 1 : step.layer;
  };
  return plan.steps.map((step) => ({ layer: layerOf(step), carryOut: () => carryOut(step) }));
}

/** Browsers say it with a RangeError where an array gets no memory. */
function isOutOfMemory(error: unknown): boolean {
  return error instanceof OutOfMemory || (error instanceof RangeError && /alloc|memory/i.test(error.message));
}

function outOfMemory({ name, memory }: Engine, { peakBytes, neededBytes }: Usage, cause: unknown): Error {
  const mebibytes = Math.ceil(Math.max(peakBytes, neededBytes) / 2 ** 20);
  const needs = mebibytes === 0 ? '' : `, the model needs ${mebibytes} MiB for this volume`;
  return new Error(`${name}: out of ${memory}${needs}; close other tabs and programs, or use a narrower model`, { cause });
}
