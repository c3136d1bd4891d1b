import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CallError } from './client';
import type { ToWorker } from './calls';
import { EngineClient } from './engine-client';
import type { CallName, Calls } from './protocol';

/** A worker whose answers the test gives. */
class StubWorker {
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onerror: ((event: { message: string; preventDefault: () => void }) => void) | null = null;
  terminated = false;
  readonly received: ToWorker<Calls>[] = [];

  postMessage(message: ToWorker<Calls>): void {
    this.received.push(message);
  }

  terminate(): void {
    this.terminated = true;
  }

  /** Names of the calls received so far. */
  get calls(): CallName[] {
    return this.received.flatMap((message) => (message.kind === 'call' ? [message.call] : []));
  }

  answer(call: CallName, message: object): void {
    const { id } = this.received.findLast((request) => request.kind === 'call' && request.call === call)!;
    this.onmessage?.({ data: { id, ...message } });
  }
}

let workers: StubWorker[];
let client: EngineClient;

beforeEach(() => {
  vi.useFakeTimers();
  workers = [];
  client = new EngineClient(() => {
    const worker = new StubWorker();
    workers.push(worker);
    return worker as unknown as Worker;
  });
});
afterEach(() => vi.useRealTimers());

const SCAN = { id: 1, files: [new File(['x'], 'scan.nii')], frame: null };
const RUN = { scan: SCAN, source: { kind: 'bundle' as const, files: [] }, options: { forced: null, maxBufferBytes: null }, confidence: { keep: true, mirror: false } };

async function start(): Promise<{ error: unknown }> {
  const outcome = { error: null as unknown };
  client.call('run', RUN).catch((error: unknown) => { outcome.error = error; });
  await vi.advanceTimersByTimeAsync(0);
  return outcome;
}

async function loadScan(): Promise<void> {
  const loaded = client.call('load', { scan: SCAN });
  await vi.advanceTimersByTimeAsync(0);
  workers[0]!.answer('load', { kind: 'reply', value: {} });
  await loaded;
}

test('a call resolves with the worker’s reply and passes its stages on', async () => {
  const stages: unknown[] = [];
  const reply = client.call('run', RUN, (stage) => stages.push(stage));
  await vi.advanceTimersByTimeAsync(0);

  workers[0]!.answer('run', { kind: 'progress', progress: { stage: 'preparing' } });
  workers[0]!.answer('run', { kind: 'reply', value: 'done' });

  expect(await reply).toBe('done');
  expect(stages).toEqual([{ stage: 'preparing' }]);
});

test('a failure is a CallError with the worker’s sentence', async () => {
  const loaded = client.call('load', { scan: SCAN });
  await vi.advanceTimersByTimeAsync(0);
  workers[0]!.answer('load', { kind: 'failure', failure: { name: 'FramesError', message: 'pick a frame', frames: 4 } });

  await expect(loaded).rejects.toMatchObject({ message: 'pick a frame', frames: 4, cancelled: false });
});

test('a backend that stops by itself keeps its worker', async () => {
  const outcome = await start();

  client.cancel();
  workers[0]!.answer('run', { kind: 'failure', failure: { name: 'AbortError', message: 'Cancelled.', frames: null } });
  await vi.advanceTimersByTimeAsync(1000);

  expect((outcome.error as CallError).cancelled).toBe(true);
  expect(workers).toHaveLength(1);
});

test('a backend that does not stop is ended within a second, and a new worker runs the same scan', async () => {
  const outcome = await start();

  client.cancel();
  await vi.advanceTimersByTimeAsync(999);

  expect((outcome.error as CallError).cancelled).toBe(true);
  expect(workers.map(({ terminated }) => terminated)).toEqual([true, false]);
  await start();
  expect(workers[1]!.received).toMatchObject([{ call: 'run', request: { scan: SCAN } }]);
});

test('a worker that dies fails its call with a sentence and is replaced', async () => {
  await loadScan();
  const outcome = await start();

  workers[0]!.onerror!({ message: '', preventDefault: () => undefined });
  await vi.advanceTimersByTimeAsync(0);

  expect((outcome.error as CallError).message).toMatch(/stopped unexpectedly .*lack of memory.* The scan is still loaded/);
  expect(workers).toHaveLength(2);
});

test('a worker that cannot even start is not started again and again, but once with the next call', async () => {
  const outcome = await start();

  workers[0]!.onerror!({ message: '', preventDefault: () => undefined });
  await vi.advanceTimersByTimeAsync(5000);
  expect((outcome.error as CallError).message).toMatch(/could not be loaded; check the connection and reload/);
  expect(workers).toHaveLength(1);

  await start();
  expect(workers).toHaveLength(2);
  expect(workers[1]!.calls).toEqual(['run']);
});

test('a client that was ended answers the next call with a new worker', async () => {
  const outcome = await start();
  client.end();
  await vi.advanceTimersByTimeAsync(0);
  expect((outcome.error as CallError).cancelled).toBe(true);
  expect(workers.map(({ terminated }) => terminated)).toEqual([true]);

  await start();
  expect(workers[1]!.calls).toEqual(['run']);
});

test('cancel without a run does nothing', async () => {
  client.cancel();
  await vi.advanceTimersByTimeAsync(1000);

  expect(workers[0]!.received).toEqual([]);
});
