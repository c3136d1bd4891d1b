// The page's side of worker.ts. A run can be cancelled within a second, and where the worker had to be ended for that,
// or ended by itself, the new one reads the scan again from the visitor's own files.
import type { Failure } from './calls';
import { CallError, WorkerClient } from './client';
import type { Stop } from './client';
import type { Calls, CallName, Stage } from './protocol';

/** How long a backend may take to stop by itself before its worker is ended. */
const CANCEL_GRACE_MS = 500;

/** Calls that need a loaded scan. */
const NEEDS_SCAN: ReadonlySet<CallName> = new Set(['run', 'outcome', 'save']);

const CANCELLED: Failure = { name: 'AbortError', message: 'Cancelled.', frames: null };

export class EngineClient {
  private readonly client: WorkerClient<Calls, Stage>;
  /** The scan that was loaded last. */
  private scan: Calls['load']['request'] | null = null;
  /** Whether the worker has read `scan`, or is reading it. */
  private holdsScan = true;
  /** Settled when a new worker has read the scan; rejects where it can't (the file is gone, reading it ended the worker). */
  private restored: Promise<unknown> = Promise.resolve();
  /** Cancels the run under way. */
  private run: AbortController | null = null;

  constructor(spawn: () => Worker) {
    this.client = new WorkerClient(spawn, (stop) => this.sentence(stop), (stop) => {
      this.holdsScan = false;
      // A worker that ended before its first message would do so again at once, for ever.
      if (stop.answered) this.renew();
    });
    this.client.start();
  }

  /** Rejects with CallError. */
  async call<N extends CallName>(name: N, request: Calls[N]['request'], onProgress?: (stage: Stage) => void): Promise<Calls[N]['reply']> {
    this.client.start();
    if (name !== 'load') this.restore();
    const run = new AbortController();
    if (name === 'run') this.run = run;
    try {
      await Promise.race([NEEDS_SCAN.has(name) ? this.restored : this.restored.catch(() => undefined), cancelled(run.signal)]);
      const reply = await this.client.call(name, request, { onProgress, signal: run.signal });
      if (name === 'load') {
        this.scan = request as Calls['load']['request'];
        this.holdsScan = true;
      }
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
      this.holdsScan = false;
      this.renew();
    }, CANCEL_GRACE_MS);
  }

  /** Starts a new worker and has it read the scan. */
  private renew(): void {
    this.client.start();
    this.restore();
  }

  /** Has a new worker read the scan that the viewer still shows. */
  private restore(): void {
    if (this.scan === null || this.holdsScan) return;
    this.holdsScan = true;
    const reading: Promise<unknown> = this.client.call('load', this.scan).catch((error: unknown) => {
      if (this.restored === reading) this.holdsScan = false;
      throw error;
    });
    reading.catch(() => undefined); // the calls that need the scan await `restored` and fail with this error
    this.restored = reading;
  }

  private sentence({ answered, reason }: Stop): string {
    const stopped = `The computation stopped unexpectedly (${reason || 'the browser ended it, probably for lack of memory'}).`;
    if (this.scan !== null) return `${stopped} The scan is still loaded; try again.`;
    if (answered) return `${stopped} Try again.`;
    return 'The part of the page that computes could not be loaded; check the connection and reload the page.';
  }
}

/** Rejects when the signal aborts. */
function cancelled(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => { reject(new CallError(CANCELLED)); });
  });
}
