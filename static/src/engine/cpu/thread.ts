// A worker thread of the CPU engine: one message prepares it for a run, each further one is a stage of passes.
import { instantiate } from './kernel';
import type { Pass } from './program';
import { work, type Hand } from './work';

export type ToThread =
  | { readonly kind: 'setup'; readonly module: WebAssembly.Module; readonly memory: WebAssembly.Memory; readonly scratch: number; readonly control: number; readonly controlLength: number; readonly threads: number }
  | { readonly kind: 'stage'; readonly passes: readonly Pass[] }
  | { readonly kind: 'release' };

export type FromThread =
  /** A stage is complete (or cancelled), with the milliseconds of each pass. */
  | { readonly kind: 'done'; readonly milliseconds: readonly number[] }
  | { readonly kind: 'error'; readonly message: string };

let hand: Hand | null = null;

self.onmessage = (event: MessageEvent<ToThread>) => {
  const message = event.data;
  try {
    if (message.kind === 'setup') {
      const { module, memory, scratch, threads } = message;
      const control = new Int32Array(memory.buffer, message.control, message.controlLength);
      hand = { kernel: instantiate(module, memory, scratch), control, scratch, threads };
    } else if (message.kind === 'release') {
      hand = null;
    } else {
      if (hand === null) throw new Error('a stage came before the setup');
      reply({ kind: 'done', milliseconds: timed(hand, message.passes) });
    }
  } catch (error) {
    reply({ kind: 'error', message: error instanceof Error ? error.message : String(error) });
  }
};

function timed(hand: Hand, passes: readonly Pass[]): number[] {
  const milliseconds = passes.map(() => 0);
  let last = performance.now();
  for (const pass of work(hand, passes)) {
    const now = performance.now();
    milliseconds[pass]! += now - last;
    last = now;
  }
  return milliseconds;
}

function reply(message: FromThread): void {
  self.postMessage(message);
}
