import { afterEach, describe, expect, test, vi } from 'vitest';
import { answerCalls } from './calls';
import type { FromWorker, Handlers, ToWorker } from './calls';
import { WorkerClient } from './client';

interface Calls {
  double: { request: number; reply: number };
  fail: { request: string; reply: never };
  wait: { request: null; reply: string };
}

const HANDLERS: Handlers<Calls, number> = {
  double: (number, { tell }) => {
    tell(0.5);
    return Promise.resolve(2 * number);
  },
  fail: (message) => Promise.reject(new RangeError(message)),
  wait: (_, { signal }) => new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => { reject(signal.reason as Error); });
  }),
};

afterEach(() => vi.unstubAllGlobals());

/** A client whose worker runs `answerCalls` in this thread. */
function connect(): { client: WorkerClient<Calls, number>; workers: Worker[] } {
  const workers: Worker[] = [];
  const spawn = (): Worker => {
    const worker = { onmessage: null, onerror: null, terminate: vi.fn() } as unknown as Worker;
    const scope = {
      onmessage: null as ((event: { data: ToWorker<Calls> }) => void) | null,
      postMessage: (message: FromWorker<Calls, number>) => { queueMicrotask(() => { worker.onmessage!({ data: message } as MessageEvent); }); },
    };
    vi.stubGlobal('self', scope);
    answerCalls(HANDLERS, { transfer: () => [], describe: (error) => `said ${(error as Error).message}` });
    worker.postMessage = (message: ToWorker<Calls>): void => {
      vi.stubGlobal('self', scope);
      scope.onmessage!({ data: message });
    };
    workers.push(worker);
    return worker;
  };
  return { client: new WorkerClient<Calls, number>(spawn, ({ answered, reason }) => `stopped ${reason}, answered: ${answered}`), workers };
}

describe('a call', () => {
  test('gets its reply, and its progress before', async () => {
    const told: number[] = [];
    expect(await connect().client.call('double', 21, { onProgress: (share) => told.push(share) })).toBe(42);
    expect(told).toEqual([0.5]);
  });

  test('that fails rejects with the sentence that the worker has for the error', async () => {
    await expect(connect().client.call('fail', 'too long')).rejects.toMatchObject({ message: 'said too long', cancelled: false, frames: null });
  });

  test('can be cancelled, and only that one', async () => {
    const { client } = connect();
    const controller = new AbortController();
    const cancelled = client.call('wait', null, { signal: controller.signal });
    const other = client.call('wait', null);
    controller.abort();
    await expect(cancelled).rejects.toMatchObject({ cancelled: true });
    expect(await Promise.race([other, Promise.resolve('still waiting')])).toBe('still waiting');
  });

  test('under way when its worker ends fails with the client’s sentence; the next one starts another worker', async () => {
    const { client, workers } = connect();
    const lost = client.call('wait', null);
    workers[0]!.onerror!({ message: 'out of memory', preventDefault: () => undefined } as ErrorEvent);
    await expect(lost).rejects.toThrow('stopped out of memory, answered: false');
    expect(await client.call('double', 1)).toBe(2);
    expect(workers).toHaveLength(2);
  });
});
