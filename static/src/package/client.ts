// `segment` in a page: one worker, one call after the other.
import type { Failure } from '../worker/calls';
import { WorkerClient } from '../worker/client';
import type { PackageCalls, SegmentRequest } from './segment-here';
import type { Segmentation, SegmentProgress } from './types';

/** How long an aborted run may take to stop by itself before the worker is ended. */
const CANCEL_GRACE_MS = 500;

const CANCELLED: Failure = { name: 'AbortError', message: 'Cancelled.', frames: null };

let client: WorkerClient<PackageCalls, SegmentProgress> | null = null;
/** Settled when the last call so far has ended. */
let last: Promise<unknown> = Promise.resolve();

export async function segmentInWorker(
  request: SegmentRequest,
  signal: AbortSignal | undefined,
  onProgress: ((progress: SegmentProgress) => void) | undefined,
): Promise<Segmentation> {
  const run = last.then(() => runAlone(request, signal, onProgress));
  last = run.catch(() => undefined);
  return run;
}

/** Ends the worker and frees its memory; calls under way fail. The next `segment` starts a new worker. */
export function releaseWorker(): void {
  client?.end(CANCELLED);
  client = null;
}

async function runAlone(
  request: SegmentRequest,
  signal: AbortSignal | undefined,
  onProgress: ((progress: SegmentProgress) => void) | undefined,
): Promise<Segmentation> {
  signal?.throwIfAborted();
  const worker = (client ??= new WorkerClient(spawn, ({ reason }) => `The computation stopped unexpectedly (${reason || 'its worker could not be loaded, or memory ran out'}).`));
  let ended = false;
  const endIfStuck = (): void => {
    setTimeout(() => { if (!ended) worker.end(CANCELLED); }, CANCEL_GRACE_MS);
  };
  signal?.addEventListener('abort', endIfStuck);
  try {
    return await worker.call('segment', request, { onProgress, signal });
  } finally {
    ended = true;
    signal?.removeEventListener('abort', endIfStuck);
  }
}

function spawn(): Worker {
  return new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
}
