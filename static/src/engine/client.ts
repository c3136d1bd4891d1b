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

const CANCELLED: Failure = { name: 'AbortError', message: 'Cancelled.', frames: null };

export class EngineClient {
  private worker: Worker;
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private scan: Calls['load']['request'] | null = null;
  /** Settled once a replaced worker holds the scan again. */
  private restored: Promise<unknown> = Promise.resolve();
  /** Rejects a run that still waits for that. */
  private cancelQueued: () => void = () => undefined;

  constructor(private readonly spawn: () => Worker) {
    this.worker = this.start();
  }

  /** Rejects with CallError. */
  async call<N extends CallName>(name: N, request: Calls[N]['request'], onStage?: (stage: Stage) => void): Promise<Calls[N]['reply']> {
    const cancelled = new Promise<never>((_, reject) => {
      if (name === 'run') this.cancelQueued = (): void => { reject(new CallError(CANCELLED)); };
    });
    await Promise.race([this.restored, cancelled]);
    const reply = await this.post(name, request, onStage);
    if (name === 'load') this.scan = request as Calls['load']['request'];
    return reply;
  }

  /** Stops the run under way, if any; its call rejects with `cancelled` set, within a second. */
  cancel(): void {
    this.cancelQueued();
    const running = [...this.pending].find(([, { call }]) => call === 'run');
    if (running === undefined) return;
    this.worker.postMessage({ call: 'cancel' });
    setTimeout(() => {
      if (this.pending.has(running[0])) this.replace(CANCELLED);
    }, CANCEL_GRACE_MS);
  }

  private post<N extends CallName>(call: N, request: Calls[N]['request'], onStage?: (stage: Stage) => void): Promise<Calls[N]['reply']> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { call, resolve, reject, onStage });
      this.worker.postMessage({ id, call, ...request });
    });
  }

  private start(): Worker {
    const worker = this.spawn();
    worker.onmessage = ({ data }: MessageEvent<FromWorker>): void => {
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
      const message = `The computation stopped unexpectedly (${event.message || 'the browser ended it, probably for lack of memory'}). The scan is still loaded; try again.`;
      if (worker === this.worker) this.replace({ name: 'Error', message, frames: null });
    };
    return worker;
  }

  private replace(failure: Failure): void {
    this.worker.terminate();
    const lost = [...this.pending.values()];
    this.pending.clear();
    this.worker = this.start();
    // The viewer still shows the scan; only the worker has to read it again.
    if (this.scan !== null) this.restored = this.post('load', this.scan).catch(() => null);
    for (const { reject } of lost) reject(new CallError(failure));
  }
}
