// One run of a model on one backend, from plain data to a plain report: for /selftest, tests and the bench.
import { loadBundle } from './bundle';
import type { Backend, Dims, LayerTiming } from './types';

export interface Trial {
  /** Text of model.json and bytes of its weights file: a web bundle. */
  readonly modelJson: string;
  readonly weights: Uint8Array;
  /** [inChannels][z][y][x] float32, normalised. */
  readonly input: Float32Array;
  readonly dims: Dims;
  readonly margin?: boolean;
  /** Keep every layer's output. */
  readonly inspect?: boolean;
  readonly maxBufferBytes?: number;
  /** Abort after so many milliseconds. */
  readonly cancelAfterMs?: number;
}

export interface TrialReport {
  /** Null where the run was refused or cancelled; `error` then says why. */
  readonly labels: Uint8Array | null;
  readonly margin: Uint8Array | null;
  /** Per layer [outChannels][z][y][x], the logits last; empty without `inspect`. */
  readonly outputs: readonly Float32Array[];
  readonly timings: readonly LayerTiming[];
  readonly milliseconds: number;
  readonly peakBytes: number;
  readonly largestBufferBytes: number;
  readonly progress: readonly number[];
  readonly error: string | null;
  /** From the abort to the rejection. */
  readonly cancelledWithinMs: number | null;
}

/** Never rejects: what went wrong is in the report. */
export async function runTrial(open: () => Promise<Backend>, trial: Trial): Promise<TrialReport> {
  const outputs: Float32Array[] = [];
  const progress: number[] = [];
  const controller = new AbortController();
  const abort = { at: null as number | null };
  let start = performance.now();
  let backend: Backend | null = null;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const empty = { labels: null, margin: null, timings: [], peakBytes: 0, largestBufferBytes: 0 };
  try {
    const { graph } = await loadBundle(trial.modelJson, trial.weights, 'trial');
    backend = await open();
    if (trial.cancelAfterMs !== undefined) {
      timer = setTimeout(() => {
        abort.at = performance.now();
        controller.abort();
      }, trial.cancelAfterMs);
    }
    start = performance.now();
    const result = await backend.run(graph, { data: trial.input, dims: trial.dims }, {
      signal: controller.signal,
      onProgress: ({ fraction }) => progress.push(fraction),
      ...(trial.margin === undefined ? {} : { margin: trial.margin }),
      ...(trial.maxBufferBytes === undefined ? {} : { maxBufferBytes: trial.maxBufferBytes }),
      ...(trial.inspect === true ? { inspect: (layer: number, output: Float32Array) => { outputs[layer] = output; } } : {}),
    });
    return { ...result, outputs, progress, milliseconds: performance.now() - start, error: null, cancelledWithinMs: null };
  } catch (error) {
    const now = performance.now();
    const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    return { ...empty, outputs, progress, milliseconds: now - start, error: text, cancelledWithinMs: abort.at === null ? null : now - abort.at };
  } finally {
    clearTimeout(timer);
    backend?.dispose();
  }
}
