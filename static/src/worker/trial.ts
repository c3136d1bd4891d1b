// One run of a model on one backend, from plain data to a plain report: for /selftest, tests and the bench.
import { loadBundle } from '../model/bundle';
import { macsPerVoxel } from '../engine/graph';
import type { Backend, Graph, LayerTiming, Progress } from '../engine/types';
import type { Dims } from '../volume/volume';

export interface Trial {
  /** Text of model.json and bytes of its weights file: a web bundle. */
  readonly modelJson: string;
  readonly weights: Uint8Array;
  /** [inChannels][z][y][x] float32, normalised. */
  readonly input: Float32Array;
  readonly dims: Dims;
  readonly probabilities?: boolean;
  /** Keep every layer's output. */
  readonly inspect?: boolean;
  readonly maxBufferBytes?: number;
  /** Abort the first run after this time. */
  readonly cancelAfterMs?: number;
  /** Run again on the same backend: at most `atMost` runs in all, while the next is expected to end within `withinMs` of the first one's start. */
  readonly repeat?: { readonly atMost: number; readonly withinMs: number };
}

/** Progress of a run. */
export interface Reached {
  /** Layers finished; 0 while in the first one. */
  readonly layers: number;
  /** Share of all multiply-adds in the layers finished, or done so far while in the first one. */
  readonly share: number;
  /** From the start of the run until then. */
  readonly milliseconds: number;
}

export interface TrialReport {
  /** Null where the run was refused or cancelled; `error` holds the reason. */
  readonly labels: Uint8Array | null;
  /** [class − 1][z][y][x]. */
  readonly probabilities: Uint8Array | null;
  /** Per layer [outChannels][z][y][x], the logits last; empty without `inspect`. */
  readonly outputs: readonly Float32Array[];
  /** Of the first run. */
  readonly timings: readonly LayerTiming[];
  /** Of the last run, which finds everything compiled where there were several. */
  readonly lastTimings: readonly LayerTiming[];
  /** The first run, compiling included. */
  readonly milliseconds: number;
  /** Every run; the later ones find everything compiled. */
  readonly runsMs: readonly number[];
  /** Progress of the first run; gives the pace of a cancelled run. */
  readonly reached: Reached | null;
  readonly peakBytes: number;
  readonly largestBufferBytes: number;
  readonly progress: readonly number[];
  readonly error: string | null;
  /** From the abort to the rejection. */
  readonly cancelledWithinMs: number | null;
}

/** Never rejects: failures are in the report. */
export async function runTrial(open: () => Promise<Backend>, trial: Trial): Promise<TrialReport> {
  const outputs: Float32Array[] = [];
  const progress: number[] = [];
  const runsMs: number[] = [];
  const controller = new AbortController();
  const abort = { at: null as number | null };
  let start = performance.now();
  let backend: Backend | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let reached: Reached | null = null;
  const empty = { labels: null, probabilities: null, timings: [], lastTimings: [], peakBytes: 0, largestBufferBytes: 0 };
  try {
    const { graph } = await loadBundle(trial.modelJson, trial.weights, 'trial');
    const input = { data: trial.input, dims: trial.dims };
    backend = await open();
    if (trial.cancelAfterMs !== undefined) {
      timer = setTimeout(() => {
        abort.at = performance.now();
        controller.abort();
      }, trial.cancelAfterMs);
    }
    start = performance.now();
    const result = await backend.run(graph, input, {
      signal: controller.signal,
      onProgress: (now) => {
        progress.push(now.fraction);
        reached = reachedBy(graph, now, performance.now() - start, reached);
      },
      ...(trial.probabilities === undefined ? {} : { probabilities: trial.probabilities }),
      ...(trial.maxBufferBytes === undefined ? {} : { maxBufferBytes: trial.maxBufferBytes }),
      ...(trial.inspect === true ? { inspect: (layer: number, output: Float32Array) => { outputs[layer] = output; } } : {}),
    });
    const milliseconds = performance.now() - start;
    clearTimeout(timer);
    runsMs.push(milliseconds);
    let lastTimings = result.timings;
    const { atMost, withinMs } = trial.repeat ?? { atMost: 1, withinMs: 0 };
    while (runsMs.length < atMost && performance.now() - start + runsMs.at(-1)! <= withinMs) {
      const again = performance.now();
      const { labels, timings } = await backend.run(graph, input);
      runsMs.push(performance.now() - again);
      lastTimings = timings;
      free(labels.buffer);
    }
    return { ...result, lastTimings, outputs, progress, milliseconds, runsMs, reached, error: null, cancelledWithinMs: null };
  } catch (error) {
    const now = performance.now();
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return {
      ...empty, outputs, progress, milliseconds: now - start, runsMs, reached, error: text,
      cancelledWithinMs: abort.at === null ? null : now - abort.at,
    };
  } finally {
    clearTimeout(timer);
    backend?.dispose();
  }
}

/** Frees a buffer at once instead of at the next garbage collection, so that repeated runs measure the memory of one. */
function free(buffer: ArrayBufferLike & { transfer?: (bytes: number) => unknown }): void {
  buffer.transfer?.(0);
}

/** Counts whole layers, because layers differ in pace; before the end of the first layer, its share of the work. */
function reachedBy(graph: Graph, { layer, fraction }: Progress, milliseconds: number, before: Reached | null): Reached {
  if (layer === 0) return { layers: 0, share: fraction, milliseconds };
  if (before?.layers === layer) return before;
  const macs = graph.layers.map(macsPerVoxel);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  return { layers: layer, share: sum(macs.slice(0, layer)) / sum(macs), milliseconds };
}
