// Normalised volume → labels: chooses a backend, runs the graph on it, and reports which one ran and why no better one did.
import { crossCheck } from './cross-check';
import { messageOf } from './message';
import type { Backend, BackendId, BackendModule, EngineInput, Graph, Probe, RunOptions, RunResult } from './types';

export const BACKEND_NAMES: Readonly<Record<BackendId, string>> = {
  webgpu: 'WebGPU',
  webgl2: 'WebGL2',
  cpu: 'CPU (WebAssembly)',
  tfjs: 'TensorFlow.js',
};

/** The best backend first, if each runs on its hardware. */
const ORDER: readonly BackendId[] = ['webgpu', 'webgl2', 'cpu', 'tfjs'];

export interface Candidate {
  readonly module: BackendModule;
  readonly probe: Probe;
}

export interface Choice {
  /** Usable backends, best first. */
  readonly ranked: readonly Candidate[];
  /** Why each backend that would have been better was passed over, as sentences. */
  readonly passedOver: readonly string[];
}

export interface SegmentResult extends RunResult {
  readonly backend: BackendId;
  readonly device: string;
  readonly details: Readonly<Record<string, string | number>>;
  readonly whyNot: readonly string[];
  readonly milliseconds: number;
}

/** Results of the backends with one model since the page was loaded. */
export interface Experience {
  /** The message of each backend that failed. */
  readonly failed: Map<BackendId, string>;
  /** Backends whose labels were compared with the CPU's. */
  readonly checked: Set<BackendId>;
}

export function noExperience(): Experience {
  return { failed: new Map(), checked: new Set() };
}

/** Asks every backend whether it can run here; a probe that throws counts as a reason. */
export async function probeAll(modules: readonly BackendModule[]): Promise<Candidate[]> {
  return Promise.all(
    modules.map(async (module) => ({
      module,
      probe: await Promise.resolve().then(() => module.probe()).catch((error: unknown): Probe => ({ available: false, reason: messageOf(error) })),
    })),
  );
}

/**
 * Order of use: backends on real hardware (the CPU counts as such) before software adapters, which the
 * CPU engine beats many times over; TF.js after our own. `forced` (`?backend=`) leaves only that one.
 * Throws an Error that lists every reason where nothing is left.
 */
export function rankBackends(candidates: readonly Candidate[], forced: BackendId | null): Choice {
  const considered = forced === null ? candidates : candidates.filter(({ module }) => module.id === forced);
  const rank = ({ module, probe }: Candidate): number =>
    ORDER.indexOf(module.id) + (probe.available && probe.software ? ORDER.length : 0);
  const ranked = considered.filter(({ probe }) => probe.available).sort((a, b) => rank(a) - rank(b));
  const best = ranked[0];
  const reasons = [...considered]
    .sort((a, b) => ORDER.indexOf(a.module.id) - ORDER.indexOf(b.module.id))
    .filter(({ module }) => best === undefined || ORDER.indexOf(module.id) < ORDER.indexOf(best.module.id))
    .map(({ module, probe }) => named(module.id, probe.available ? `only a software adapter (${probe.device})` : probe.reason));
  if (best === undefined) {
    throw new Error(`No way to run a model was found in this browser. ${reasons.join('; ')}. Try a current Chrome, Edge, Firefox or Safari.`);
  }
  return { ranked, passedOver: reasons };
}

/**
 * Runs on the best backend; where one fails (device lost, out of memory) the next one takes over and `whyNot` reports the
 * failure. A graphics device that `failed` is passed over while there is another backend, because a driver that was reset
 * would be reset at every run; the CPU is tried again, because it may have lacked memory for a moment. Graphics hardware is
 * compared with the CPU first (cross-check.ts). A cancelled run rejects with the signal's reason.
 */
export async function segment(
  graph: Graph,
  input: EngineInput,
  choice: Choice,
  options: RunOptions,
  onBackend: (chosen: Pick<SegmentResult, 'backend' | 'device' | 'details' | 'whyNot'>) => void,
  { failed, checked }: Experience = noExperience(),
): Promise<SegmentResult> {
  const whyNot = [...choice.passedOver];
  const cpu = choice.ranked.find(({ module }) => module.id === 'cpu')?.module;
  const anyUntried = choice.ranked.some(({ module }) => !failed.has(module.id));
  for (const { module, probe } of choice.ranked) {
    if (!probe.available) continue;
    const before = failed.get(module.id);
    if (before !== undefined && anyUntried && module.id !== 'cpu') {
      whyNot.push(named(module.id, `failed before (${before}); reload the page to try it again`));
      continue;
    }
    onBackend({ backend: module.id, device: probe.device, details: probe.details, whyNot: [...whyNot] });
    let backend: Backend | null = null;
    try {
      backend = await module.open();
      if (cpu !== undefined && !probe.software && module.id !== 'cpu' && !checked.has(module.id)) {
        await crossCheck(backend, cpu, graph, input, options);
        checked.add(module.id);
      }
      const start = performance.now();
      const result = await backend.run(graph, input, options);
      const milliseconds = performance.now() - start;
      checkLabels(result.labels, graph.classes);
      const details = { ...probe.details, ...result.details };
      return { ...result, backend: module.id, device: probe.device, details, whyNot, milliseconds };
    } catch (error) {
      options.signal?.throwIfAborted();
      failed.set(module.id, messageOf(error));
      whyNot.push(named(module.id, `failed: ${messageOf(error)}`));
    } finally {
      backend?.dispose();
    }
  }
  throw new Error(`The model could not be run. ${whyNot.join('; ')}`);
}

/** Throws an Error where the model does not have a label: the device wrote wrong values. */
function checkLabels(labels: Uint8Array, classes: number): void {
  const wrong = labels.find((label) => label >= classes);
  if (wrong !== undefined) throw new Error(`it returned label ${wrong}, but the model has ${classes} labels`);
}

/** "WebGPU: no adapter", whether or not the reason begins with the name. */
function named(id: BackendId, reason: string): string {
  return reason.startsWith(`${BACKEND_NAMES[id]}:`) ? reason : `${BACKEND_NAMES[id]}: ${reason}`;
}
