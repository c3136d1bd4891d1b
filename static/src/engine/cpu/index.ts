// The CPU engine: kernel.c as WebAssembly with SIMD, on threads where the page is cross-origin isolated.
import type { Backend, BackendModule, Probe } from '../types';
import { soloCrew, ThreadCrew } from './crew';
import { detectFeatures, loadKernel } from './kernel';
import { runGraph } from './run';

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
  const module = await loadKernel(relaxedSimd, threads > 1);
  const crew = threads > 1 ? new ThreadCrew(module, threads) : soloCrew(module);
  let running = false;
  return {
    id: 'cpu',
    async run(graph, input, options = {}) {
      if (running) throw new Error('CPU: a run is under way; wait for it or abort it first');
      running = true;
      try {
        return await runGraph(crew, graph, input, options);
      } finally {
        running = false;
      }
    },
    dispose() {
      if (crew instanceof ThreadCrew) crew.end();
    },
  };
}
