// The CPU engine: kernel.c as WebAssembly with SIMD, on threads where the page is cross-origin isolated.
import type { Backend, BackendModule, Probe } from '../types';
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

async function open(): Promise<Backend> {
  const { simd, relaxedSimd } = detectFeatures();
  if (!simd) throw new Error('CPU: this browser has no WebAssembly SIMD; update it');
  const threads = threadsHere();
  const alone = async (): Promise<Crew> => soloCrew(await loadKernel(relaxedSimd, false));
  let crew: Crew = threads > 1 ? new ThreadCrew(await loadKernel(relaxedSimd, true), threads) : await alone();
  let running = false;
  return {
    id: 'cpu',
    async run(graph, input, options = {}) {
      if (running) throw new Error('CPU: a run is under way; wait for it or abort it first');
      running = true;
      try {
        return await runGraph(crew, graph, input, options);
      } catch (error) {
        // Phones refuse shared memories of a size they give unshared, and an extension may block a thread's script.
        options.signal?.throwIfAborted();
        if (!(error instanceof ThreadsFailed) || !(crew instanceof ThreadCrew)) throw error;
        crew.end();
        crew = await alone();
        const result = await runGraph(crew, graph, input, options);
        return { ...result, details: { ...result.details, threads: 1, 'threads failed': error.message } };
      } finally {
        running = false;
      }
    },
    dispose() {
      if (crew instanceof ThreadCrew) crew.end();
    },
  };
}
