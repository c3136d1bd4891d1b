import { afterEach, describe, expect, it, vi } from 'vitest';
import { Meter, Usage, type Done } from '../meter';
import type { Graph } from '../types';
import type { OpenDevice } from './device';
import { Memory } from './memory';
import { Queue } from './queue';

/** A device whose submissions end when the test says so. */
function fakeDevice() {
  const encoder = () => ({
    copyBufferToBuffer: () => undefined, clearBuffer: () => undefined, finish: () => ({}),
    beginComputePass: () => ({ setPipeline: () => undefined, setBindGroup: () => undefined, dispatchWorkgroups: () => undefined, end: () => undefined }),
  });
  const submitted: { end: () => void; fail: (error: Error) => void }[] = [];
  const buffer = () => ({ destroy: () => undefined });
  const device = {
    features: new Set(), createBuffer: buffer, createCommandEncoder: encoder, createBindGroup: () => ({}),
    queue: { writeBuffer: () => undefined, submit: () => undefined },
  };
  /** Stands for `onSubmittedWorkDone`. */
  const done = () => new Promise<void>((resolve, reject) => { submitted.push({ end: resolve, fail: reject }); });
  const open = { device, kind: 'software', lost: new Promise<never>(() => undefined), takeError: () => null } as unknown as OpenDevice;
  return { open, submitted, done };
}

function queueOn(open: OpenDevice, signal?: AbortSignal, onDone?: (done: Done) => void): { queue: Queue; finished: Done[]; record: (macs: number) => void } {
  const finished: Done[] = [];
  const queue = new Queue(open, new Memory(open.device, new Usage()), signal, onDone ?? ((done) => finished.push(done)));
  const pipeline = { label: 'conv', getBindGroupLayout: () => ({}) } as unknown as GPUComputePipeline;
  return { queue, finished, record: (macs) => { queue.dispatch({ pipeline, uniform: new ArrayBuffer(16), bindings: [], workgroups: [1, 1, 1], work: { macs, cost: macs } }); } };
}

/** Two submissions of `macs` multiply-adds each are under way; `all` settles when both are over. */
async function twoUnderWay(macs: readonly [number, number], { queue, record }: ReturnType<typeof queueOn>, done: () => Promise<void>) {
  record(macs[0]);
  await queue.submit(done);
  queue.layer = 1;
  record(macs[1]);
  return { all: queue.submit(done).then(() => queue.flush()) };
}

/** Whether `promise` settles without further events. */
async function settles(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const mark = (): void => { settled = true; };
  promise.then(mark, mark);
  for (let i = 0; i < 50; i++) await Promise.resolve();
  return settled;
}

vi.stubGlobal('GPUBufferUsage', {});
afterEach(() => { vi.useRealTimers(); });

describe('a queue of submissions', () => {
  it('has one under way when it takes the next, and never three', async () => {
    const { open, submitted, done } = fakeDevice();
    const { queue, record } = queueOn(open);
    record(1);
    expect(await settles(queue.submit(done))).toBe(true);
    record(1);
    const second = queue.submit(done);
    expect(await settles(second)).toBe(false);
    expect(submitted).toHaveLength(2);
    submitted[0]!.end();
    expect(await settles(second)).toBe(true);
  });

  it('waits for all of them in a flush', async () => {
    const { open, submitted, done } = fakeDevice();
    const on = queueOn(open);
    const { finished } = on;
    const { all } = await twoUnderWay([3, 4], on, done);
    submitted[0]!.end();
    expect(await settles(all)).toBe(false);
    submitted[1]!.end();
    expect(await settles(all)).toBe(true);
    expect(finished.map(({ macs }) => macs)).toEqual([3, 4]);
  });

  it('counts time and work to the layer that was recorded, however late it ends', async () => {
    vi.useFakeTimers();
    const { open, submitted, done } = fakeDevice();
    const layers = ['first', 'second', 'classifier'].map((name) => ({ name, inChannels: 1, outChannels: 1, kernelSize: 1 }));
    const meter = new Meter({ layers } as unknown as Graph, 1, undefined);
    const on = queueOn(open, undefined, (finished) => { meter.done(finished); });
    const { all } = await twoUnderWay([1, 1], on, done);
    meter.prepared();
    vi.advanceTimersByTime(30);
    submitted[0]!.end();
    await settles(all);
    vi.advanceTimersByTime(20);
    submitted[1]!.end();
    await all;
    expect(meter.finish().map(({ milliseconds }) => milliseconds)).toEqual([0, 30, 20, 0]);
  });

  it('sizes submissions by the rate of one, not by the time it stood in line', async () => {
    vi.useFakeTimers();
    const { open, submitted, done } = fakeDevice();
    const on = queueOn(open);
    const { queue } = on;
    const { budget } = queue;
    const { all } = await twoUnderWay([budget, budget], on, done);
    for (const { end } of [submitted[0]!, submitted[1]!]) {
      vi.advanceTimersByTime(250); // the target: the second stood in line for as long
      end();
      await settles(all);
    }
    await all;
    expect(queue.budget).toBe(budget);
  });

  it('grows with two under way no faster than with one: fourfold', async () => {
    vi.useFakeTimers();
    const { open, submitted, done } = fakeDevice();
    const on = queueOn(open);
    const { queue } = on;
    const { budget } = queue;
    const { all } = await twoUnderWay([budget, budget], on, done);
    submitted.forEach(({ end }) => { end(); });
    await all;
    expect(queue.budget).toBe(4 * budget);
  });

  it('rejects the next submission and the flush after a failed one', async () => {
    const { open, submitted, done } = fakeDevice();
    const { queue, record } = queueOn(open);
    record(1);
    await queue.submit(done);
    record(1);
    const second = queue.submit(done);
    submitted[0]!.fail(new Error('no room'));
    await expect(second).rejects.toThrow('no room');
    await expect(queue.flush()).rejects.toThrow('no room');
  });

  it('stops at once when the run is cancelled, with two under way', async () => {
    const { open, done } = fakeDevice();
    const cancel = new AbortController();
    const { queue, record } = queueOn(open, cancel.signal);
    record(1);
    await queue.submit(done);
    record(1);
    const second = queue.submit(done);
    cancel.abort(new DOMException('the run was cancelled', 'AbortError'));
    await expect(second).rejects.toThrow('the run was cancelled');
  });
});
