// The threads that compute: the calling one alone, or worker threads on shared memory.
import { instantiate } from './kernel';
import { RunMemory, ThreadsFailed } from './memory';
import type { Pass, Program } from './program';
import type { Crew } from './run';
import type { FromThread, ToThread } from './thread';
import { cancel, work, type Hand } from './work';

/**
 * Idle threads keep no memory larger than this. A thread holds a memory until it collects garbage, which idle threads
 * don't; only ending the thread releases the memory for certain. Starting threads again takes some 50 ms.
 */
const KEEP_THREADS_BYTES = 64 * 2 ** 20;
const PROGRESS_MS = 50;

/** Computes on the calling thread; every 30 ms it lets messages and a cancelled signal through. */
export function soloCrew(module: WebAssembly.Module): Crew {
  let hand: Hand | null = null;
  return {
    threads: 1,
    module,
    memory: new RunMemory(false),
    setup(program, memory) {
      const scratch = program.scratch[0]!;
      const control = new Int32Array(memory.buffer, program.address.control, program.controlLength);
      hand = { kernel: instantiate(module, memory, scratch), control, scratch, threads: 1 };
    },
    async stage(passes, tick, signal) {
      const milliseconds = passes.map(() => 0);
      let last = performance.now();
      let paused = last;
      for (const pass of work(hand!, passes)) {
        const now = performance.now();
        milliseconds[pass]! += now - last;
        last = now;
        if (now - paused < 30) continue;
        tick();
        await new Promise((resolve) => setTimeout(resolve, 0));
        signal?.throwIfAborted();
        last = paused = performance.now();
      }
      return milliseconds;
    },
    release() {
      hand = null;
    },
  };
}

/** Worker threads that are kept between small runs. */
export class ThreadCrew implements Crew {
  readonly memory = new RunMemory(true);
  private workers: Worker[] = [];
  private control: Int32Array | null = null;

  constructor(readonly module: WebAssembly.Module, readonly threads: number) {}

  setup(program: Program, memory: WebAssembly.Memory): void {
    const { address, controlLength } = program;
    this.control = new Int32Array(memory.buffer, address.control, controlLength);
    while (this.workers.length < this.threads) {
      this.workers.push(new Worker(new URL('./thread.ts', import.meta.url), { type: 'module' }));
    }
    for (const [i, worker] of this.workers.entries()) {
      post(worker, { kind: 'setup', module: this.module, memory, scratch: program.scratch[i]!, control: address.control, controlLength, threads: this.threads });
    }
  }

  /** Rejects with the signal's reason at once when aborted, or with a thread's error; the threads are then ended. */
  async stage(passes: readonly Pass[], tick: () => void, signal: AbortSignal | undefined): Promise<readonly number[]> {
    const timer = setInterval(tick, PROGRESS_MS);
    let abort = (): void => undefined;
    try {
      const aborted = new Promise<never>((_, reject) => {
        abort = () => { reject(signal!.reason as Error); };
        signal?.addEventListener('abort', abort);
      });
      const done = this.workers.map((worker) => answer(worker));
      for (const worker of this.workers) post(worker, { kind: 'stage', passes });
      const [first] = await Promise.race([Promise.all(done), aborted]);
      return first!;
    } catch (error) {
      this.end();
      throw error;
    } finally {
      clearInterval(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  release(bytes: number): void {
    this.control = null;
    if (bytes > KEEP_THREADS_BYTES) this.end();
    else for (const worker of this.workers) post(worker, { kind: 'release' });
  }

  end(): void {
    if (this.control !== null) cancel(this.control);
    for (const worker of this.workers) worker.terminate();
    this.workers = [];
  }
}

function post(worker: Worker, message: ToThread): void {
  worker.postMessage(message);
}

/** The next answer of a thread. */
function answer(worker: Worker): Promise<readonly number[]> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<FromThread>) => {
      if (data.kind === 'done') resolve(data.milliseconds);
      else reject(new ThreadsFailed(`CPU thread: ${data.message}`));
    };
    worker.onerror = (event) => { reject(new ThreadsFailed(`CPU thread: ${event.message === '' ? 'its script did not load; reload the page' : event.message}`)); };
  });
}
