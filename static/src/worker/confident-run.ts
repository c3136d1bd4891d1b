// A run with its probabilities: one run of the network, or two that are averaged (docs/engine.md, "Confidence").
import { segment, type Choice, type Experience, type SegmentResult } from '../engine/choose';
import type { EngineInput, Graph, RunOptions } from '../engine/types';
import type { ModelSpec } from '../generated/model-spec';
import { averageInto, checkMirror, hasConfidence, mirrorAxis, mirrored } from '../volume/confidence';
import type { BackendChoice, ConfidenceOptions } from './protocol';

/** A network and where it runs. */
export interface Network {
  readonly spec: ModelSpec;
  readonly graph: Graph;
  readonly choice: Choice;
  readonly experience: Experience;
}

/**
 * Runs the network once, or with `mirror` twice. Probabilities are in the result where they are kept or averaged. Throws
 * an Error with a sentence where the model cannot be averaged.
 */
export async function runNetwork(
  { spec, graph, choice, experience }: Network,
  input: EngineInput,
  options: RunOptions,
  { keep, mirror }: ConfidenceOptions,
  onBackend: (chosen: BackendChoice) => void,
): Promise<SegmentResult> {
  if (mirror) checkMirror(spec);
  const probabilities = mirror || (keep && hasConfidence(spec));
  const run = (image: EngineInput, from: number): Promise<SegmentResult> =>
    segment(graph, image, choice, { ...options, ...(probabilities ? { probabilities } : {}), ...(mirror ? half(options, from) : {}) }, onBackend, experience);
  const first = await run(input, 0);
  if (!mirror) return first;
  const axis = mirrorAxis(spec.input.orientation);
  const second = await run({ ...input, data: mirrored(input.data, input.dims, axis) }, 0.5);
  averageInto(first.labels, first.probabilities!, mirrored(second.probabilities!, input.dims, axis));
  return {
    ...second,
    labels: first.labels,
    probabilities: first.probabilities,
    milliseconds: first.milliseconds + second.milliseconds,
    timings: [...first.timings, ...second.timings.map((timing) => ({ ...timing, name: `mirror image, ${timing.name}` }))],
    peakBytes: Math.max(first.peakBytes, second.peakBytes),
    largestBufferBytes: Math.max(first.largestBufferBytes, second.largestBufferBytes),
  };
}

/** Progress of one of two runs, which begins at the share `from` of both. */
function half({ onProgress }: RunOptions, from: number): Pick<RunOptions, 'onProgress'> {
  if (onProgress === undefined) return {};
  return { onProgress: (progress) => { onProgress({ ...progress, fraction: from + progress.fraction / 2 }); } };
}
