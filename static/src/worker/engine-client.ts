// The page's side of worker.ts. A run can be cancelled within a second: where its backend cannot be interrupted, the worker
// is ended and another started. Every call brings what it needs, so that a new worker can answer it.
import type { Failure } from './calls';
import { WorkerClient } from './client';
import type { Stop } from './client';
import type { Calls, CallName, Stage } from './protocol';

/** How long a backend may take to stop by itself before its worker is ended. */
const CANCEL_GRACE_MS = 500;

const CANCELLED: Failure = { name: 'AbortError', message: 'Cancelled.', frames: null };

export class EngineClient {
  private readonly client: WorkerClient<Calls, Stage>;
  /** Whether a worker has read a scan. */
  private hasRead = false;
  /** Cancels the run under way. */
  private run: AbortController | null = null;

  constructor(spawn: () => Worker) {
    this.client = new WorkerClient(spawn, (stop) => this.sentence(stop), (stop) => {
      // A worker that ended before its first message would end again at every restart.
      if (stop.answered) this.client.start();
    });
    this.client.start();
  }

  /** Rejects with CallError. */
  async call<N extends CallName>(name: N, request: Calls[N]['request'], onProgress?: (stage: Stage) => void): Promise<Calls[N]['reply']> {
    const run = new AbortController();
    if (name === 'run') this.run = run;
    try {
      const reply = await this.client.call(name, request, { onProgress, signal: run.signal });
      if (name === 'load' || name === 'run') this.hasRead = true;
      return reply;
    } finally {
      if (this.run === run) this.run = null;
    }
  }

  /** Stops the run under way, if any; its call rejects with `cancelled` set, within a second. */
  cancel(): void {
    const { run } = this;
    if (run === null) return;
    run.abort();
    setTimeout(() => {
      if (this.run !== run) return;
      this.client.end(CANCELLED);
      this.client.start();
    }, CANCEL_GRACE_MS);
  }

  /** Ends the worker and its memory; the next call starts another. */
  end(): void {
    this.client.end(CANCELLED);
  }

  private sentence({ answered, reason }: Stop): string {
    const stopped = `The computation stopped unexpectedly (${reason || 'the browser ended it, probably for lack of memory'}).`;
    if (this.hasRead) return `${stopped} The scan is still loaded; try again.`;
    if (answered) return `${stopped} Try again.`;
    return 'The part of the page that computes could not be loaded; check the connection and reload the page.';
  }
}

