// The page's side of the worker: calls as promises, cancel within a second, and a new worker where the old one
// cannot be stopped or died, with the scan read again from the visitor's own files.
import type { Calls, CallName, Failure, FromWorker, Stage } from './protocol';

/** A failed call; `message` is a sentence for the visitor. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly frames: number | null;
  readonly cancelled: boolean;

  constructor(failure: Failure) {
    super(failure.message);
    this.frames = failure.frames;
    this.cancelled = failure.name === 'AbortError';
  }
}

interface Pending {
  readonly call: CallName;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  readonly onStage: ((stage: Stage) => void) | undefined;
}

/** How long a backend may take to stop by itself before its worker is ended. */
const CANCEL_GRACE_MS = 500;

/** What is about the scan that the worker holds. */
const NEEDS_SCAN: ReadonlySet<CallName> = new Set(['run', 'outcome', 'save']);

const CANCELLED: Failure = { name: 'AbortError', message: 'Cancelled.', frames: null };

export class EngineClient {
  /** Null after one that could not even start, until the next call. */
  private worker: Worker | null = null;
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private scan: Calls['load']['request'] | null = null;
  /** Whether the worker has read that, or is reading it. */
  private holdsScan = true;
  /** Settled once it has; rejects where it can't (the file is gone, the worker ended over it). */
  private restored: Promise<unknown> = Promise.resolve();
  /** Rejects a run that still waits for that. */
  private cancelQueued: () => void = () => undefined;

  constructor(private readonly spawn: () => Worker) {
    this.revive();
  }

  /** Rejects with CallError. */
  async call<N extends CallName>(name: N, request: Calls[N]['request'], onStage?: (stage: Stage) => void): Promise<Calls[N]['reply']> {
    this.revive();
    if (name !== 'load') this.restore();
    const cancelled = new Promise<never>((_, reject) => {
      if (name === 'run') this.cancelQueued = (): void => { reject(new CallError(CANCELLED)); };
    });
    await Promise.race([NEEDS_SCAN.has(name) ? this.restored : this.restored.catch(() => undefined), cancelled]);
    this.revive(); // it may have ended over the scan
    const reply = await this.post(name, request, onStage);
    if (name === 'load') {
      this.scan = request as Calls['load']['request'];
      this.holdsScan = true;
    }
    return reply;
  }

  /** Stops the run under way, if any; its call rejects with `cancelled` set, within a second. */
  cancel(): void {
    this.cancelQueued();
    const running = [...this.pending].find(([, { call }]) => call === 'run');
    if (running === undefined) return;
    this.worker?.postMessage({ call: 'cancel' });
    setTimeout(() => {
      if (!this.pending.has(running[0])) return;
      this.end(CANCELLED);
      this.revive();
      this.restore();
    }, CANCEL_GRACE_MS);
  }

  private post<N extends CallName>(call: N, request: Calls[N]['request'], onStage?: (stage: Stage) => void): Promise<Calls[N]['reply']> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.worker!.postMessage({ id, call, ...request });
      this.pending.set(id, { call, resolve, reject, onStage });
    });
  }

  /** A worker where there is none. */
  private revive(): void {
    this.worker ??= this.start();
  }

  /** Has a new worker read the scan that the viewer still shows. */
  private restore(): void {
    if (this.scan === null || this.holdsScan) return;
    this.holdsScan = true;
    const reading: Promise<unknown> = this.post('load', this.scan).catch((error: unknown) => {
      if (this.restored === reading) this.holdsScan = false;
      throw error;
    });
    reading.catch(() => undefined); // who needs it is told
    this.restored = reading;
  }

  private start(): Worker {
    const worker = this.spawn();
    let heard = false;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>): void => {
      heard = true;
      const pending = this.pending.get(data.id);
      if (data.kind === 'stage') {
        pending?.onStage?.(data.stage);
        return;
      }
      this.pending.delete(data.id);
      if (data.kind === 'reply') pending?.resolve(data.value as never);
      else pending?.reject(new CallError(data.failure));
    };
    worker.onerror = (event): void => {
      event.preventDefault();
      if (worker !== this.worker) return;
      const stopped = `The computation stopped unexpectedly (${event.message || 'the browser ended it, probably for lack of memory'}).`;
      const message =
        this.scan !== null ? `${stopped} The scan is still loaded; try again.`
        : heard ? `${stopped} Try again.`
        : 'The part of the page that computes could not be loaded; check the connection and reload the page.';
      this.end({ name: 'Error', message, frames: null });
      // One that ended before its first word would do so again at once, for ever.
      if (!heard) return;
      this.revive();
      this.restore();
    };
    return worker;
  }

  /** Ends the worker and fails its calls. */
  private end(failure: Failure): void {
    this.worker?.terminate();
    this.worker = null;
    this.holdsScan = false;
    const lost = [...this.pending.values()];
    this.pending.clear();
    for (const { reject } of lost) reject(new CallError(failure));
  }
}
