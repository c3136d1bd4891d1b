// The CPU engine: kernel.c as WebAssembly with SIMD, on threads where the page is cross-origin isolated.
import type { Backend, BackendModule, EngineInput, Graph, Probe, RunOptions, RunResult } from '../types';
import { soloCrew, ThreadCrew } from './crew';
import { detectFeatures, loadKernel } from './kernel';
import { ThreadsFailed } from './memory';
import { runGraph, type Crew } from './run';

/** More threads than this only wait for memory. */
const MAX_THREADS = 16;

export const cpu: BackendModule = { id: 'cpu', probe, open };

function threadsHere(): number {
  return detectFeatures().threads ? Math.max(1, Math.min(MAX_THREADS, navigator.hardwareConcurrency)) : 1;
}

function probe(): Promise<Probe> {
  const { simd, relaxedSimd, threads: isolated } = detectFeatures();
  if (!simd) return Promise.resolve({ available: false, reason: 'this browser has no WebAssembly SIMD; update it' });
  const threads = threadsHere();
  const details = { threads, simd: relaxedSimd ? 'relaxed' : 'plain', 'cross-origin isolated': isolated ? 'yes' : 'no' };
  const device = `${threads} thread${threads === 1 ? '' : 's'}, ${relaxedSimd ? 'relaxed SIMD' : 'SIMD'}`;
  return Promise.resolve({ available: true, device, software: false, details });
}

async function threadCrew(relaxedSimd: boolean, threads: number): Promise<Crew> {
  return new ThreadCrew(await loadKernel(relaxedSimd, true), threads);
}

async function open(): Promise<Backend> {
  const { simd, relaxedSimd } = detectFeatures();
  if (!simd) throw new Error('CPU: this browser has no WebAssembly SIMD; update it');
  const threads = threadsHere();
  const alone = async (): Promise<Crew> => soloCrew(await loadKernel(relaxedSimd, false));
  let failed: string | null = null;
  /** A crew of one thread where the browser refuses several; throws any other error again. */
  const insteadOf = async (error: unknown): Promise<Crew> => {
    if (!(error instanceof ThreadsFailed)) throw error;
    const crew = await alone();
    failed = error.message;
    return crew;
  };
  let crew = await (threads > 1 ? threadCrew(relaxedSimd, threads).catch(insteadOf) : alone());
  let running = false;

  async function run(graph: Graph, input: EngineInput, options: RunOptions): Promise<RunResult> {
    const result = await runGraph(crew, graph, input, options);
    return failed === null ? result : { ...result, details: { ...result.details, threads: 1, 'threads failed': failed } };
  }

  return {
    id: 'cpu',
    async run(graph, input, options = {}) {
      if (running) throw new Error('CPU: a run is under way; wait for it or abort it first');
      running = true;
      try {
        return await run(graph, input, options);
      } catch (error) {
        // Phones refuse shared memories of a size they give unshared, and an extension may block a thread's script.
        options.signal?.throwIfAborted();
        const next = await insteadOf(error);
        if (crew instanceof ThreadCrew) crew.end();
        crew = next;
        return await run(graph, input, options);
      } finally {
        running = false;
      }
    },
    dispose() {
      if (crew instanceof ThreadCrew) crew.end();
    },
  };
}
