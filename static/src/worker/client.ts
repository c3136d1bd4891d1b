// Calls to a worker as promises.
import type { CallTable, Failure, FromWorker, ToWorker } from './calls';

/** A failed call; `message` is a sentence for the visitor. */
export class CallError extends Error {
  override readonly name = 'CallError';
  readonly frames: number | null;
  readonly cancelled: boolean;
  /** Name of the error in the worker. */
  readonly failureName: string;

  constructor(failure: Failure) {
    super(failure.message);
    this.frames = failure.frames;
    this.failureName = failure.name;
    this.cancelled = failure.name === 'AbortError';
  }
}

/** A worker that ended by itself. */
export interface Stop {
  /** Whether it had sent a message before. */
  readonly answered: boolean;
  /** The browser's words; may be empty. */
  readonly reason: string;
}

export interface CallOptions<Progress> {
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Aborting asks the worker to stop; the call ends when the worker has stopped. */
  readonly signal?: AbortSignal | undefined;
  /** Buffers handed over instead of copied. */
  readonly transfer?: Transferable[];
}

interface Pending<Progress> {
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
  readonly onProgress: ((progress: Progress) => void) | undefined;
}

/** The page's side of one worker; a worker that has ended is replaced at the next call. */
export class WorkerClient<T extends CallTable<T>, Progress = never> {
  private worker: Worker | null = null;
  private readonly pending = new Map<number, Pending<Progress>>();
  private nextId = 1;

  /** `onStop` returns the sentence that calls under way fail with; `afterStop` runs once they have failed. */
  constructor(
    private readonly spawn: () => Worker,
    private readonly onStop: (stop: Stop) => string,
    private readonly afterStop: (stop: Stop) => void = () => undefined,
  ) {}

  /** Starts the worker where none runs. */
  start(): void {
    this.worker ??= this.started();
  }

  /** Rejects with CallError. */
  call<N extends keyof T>(call: N, request: T[N]['request'], { onProgress, signal, transfer = [] }: CallOptions<Progress> = {}): Promise<T[N]['reply']> {
    this.start();
    const id = this.nextId++;
    signal?.addEventListener('abort', () => { if (this.pending.has(id)) this.post({ kind: 'cancel', id }); });
    return new Promise((resolve, reject) => {
      this.post({ kind: 'call', id, call, request } as ToWorker<T>, transfer);
      this.pending.set(id, { resolve, reject, onProgress });
    });
  }

  /** Ends the worker and fails its calls. */
  end(failure: Failure): void {
    this.worker?.terminate();
    this.worker = null;
    const lost = [...this.pending.values()];
    this.pending.clear();
    for (const { reject } of lost) reject(new CallError(failure));
  }

  private post(message: ToWorker<T>, transfer: Transferable[] = []): void {
    this.worker!.postMessage(message, transfer);
  }

  private started(): Worker {
    const worker = this.spawn();
    let answered = false;
    worker.onmessage = ({ data }: MessageEvent<FromWorker<T, Progress>>): void => {
      answered = true;
      const pending = this.pending.get(data.id);
      if (data.kind === 'progress') {
        pending?.onProgress?.(data.progress);
        return;
      }
      this.pending.delete(data.id);
      if (data.kind === 'reply') pending?.resolve(data.value as never);
      else pending?.reject(new CallError(data.failure));
    };
    worker.onerror = (event): void => {
      event.preventDefault();
      if (worker !== this.worker) return;
      const stop: Stop = { answered, reason: event.message };
      this.end({ name: 'Error', message: this.onStop(stop), frames: null });
      this.afterStop(stop);
    };
    return worker;
  }
}
