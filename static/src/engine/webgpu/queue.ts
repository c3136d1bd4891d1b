// Bounded submissions: work is cut so that no submission runs much longer than TARGET_MS. No driver then resets the device
// for a long one, and a cancel is noticed between two of them. Two submissions are under way at a time: the device computes
// the second while the browser learns, in 1 to 100 ms, that the first is over.
import { orAbort } from '../cancel';
import type { Done } from '../meter';
import type { OpenDevice } from './device';
import type { Memory } from './memory';
import { Receipts } from './receipts';
import { GpuTimer } from './timer';

const TARGET_MS = 250;
/** Some drivers drop work silently and never report its end. */
const PATIENCE_S = 60;
/** First budget, before anything was timed: 20 million multiply-adds take under a second on every device. */
const FIRST_COST = 20e6;
/** Dispatches of one submission, each with its own uniform block. */
const MOST_DISPATCHES = 256;
/** WebGPU aligns uniform blocks to this by default. */
const UNIFORM_BYTES = 256;

export type Bindings = readonly (readonly [binding: number, resource: GPUBuffer | GPUTextureView])[];

/** Multiply-adds of a dispatch, and its expected time in units of a multiply-add's. */
export interface Work {
  readonly macs: number;
  readonly cost: number;
}

export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  /** The uniform block: binding 0 of group 0. */
  readonly uniform: ArrayBuffer;
  /** Further bindings of group 0, from 1 on. */
  readonly bindings: Bindings;
  /** Bindings of group 1. */
  readonly second?: Bindings;
  readonly workgroups: readonly [number, number, number];
  readonly work: Work;
}

export class Queue {
  /** The cost that one submission may have now. */
  budget = FIRST_COST;
  /** The layer that recorded work counts to; call `submit` before changing it. */
  layer = 0;
  /** Settles with the newest submission. */
  private newest: Promise<void> = Promise.resolve();
  private lastOver = performance.now();
  private encoder: GPUCommandEncoder | null = null;
  private macs = 0;
  private cost = 0;
  private used = 0;
  private readonly uniforms = new Uint8Array(MOST_DISPATCHES * UNIFORM_BYTES);
  private readonly uniformBuffer: GPUBuffer;
  private readonly timer: GpuTimer | null;
  private readonly receipts: Receipts;

  constructor(
    private readonly open: OpenDevice,
    memory: Memory,
    private readonly signal: AbortSignal | undefined,
    private readonly onDone: (done: Done) => void,
  ) {
    this.uniformBuffer = memory.buffer('uniforms', MOST_DISPATCHES * UNIFORM_BYTES, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    this.timer = open.device.features.has('timestamp-query') ? new GpuTimer(memory, MOST_DISPATCHES) : null;
    this.receipts = new Receipts(open.device, memory);
  }

  get commands(): GPUCommandEncoder {
    this.encoder ??= this.open.device.createCommandEncoder({ label: `meshnet layer ${this.layer}` });
    return this.encoder;
  }

  /** Submits what is recorded if work of this cost does not fit with it. */
  async reserve(cost: number): Promise<void> {
    if (this.used === MOST_DISPATCHES || (this.cost > 0 && this.cost + cost > this.budget)) await this.submit();
  }

  dispatch({ pipeline, uniform, bindings, second = [], workgroups, work }: Dispatch): void {
    const { device } = this.open;
    const { label } = pipeline;
    const index = this.used++;
    const offset = index * UNIFORM_BYTES;
    this.uniforms.set(new Uint8Array(uniform), offset);
    const pass = this.commands.beginComputePass({ label, ...this.timer?.of(index) });
    pass.setPipeline(pipeline);
    const own = { binding: 0, resource: { buffer: this.uniformBuffer, offset, size: UNIFORM_BYTES } };
    const entries = (list: Bindings) => list.map(([binding, bound]) => ({ binding, resource: bound instanceof GPUBuffer ? { buffer: bound } : bound }));
    const group = (index: number, entries: GPUBindGroupEntry[]) => {
      pass.setBindGroup(index, device.createBindGroup({ label: `${label} group ${index}`, layout: pipeline.getBindGroupLayout(index), entries }));
    };
    group(0, [own, ...entries(bindings)]);
    if (second.length > 0) group(1, entries(second));
    pass.dispatchWorkgroups(...workgroups);
    pass.end();
    this.macs += work.macs;
    this.cost += work.cost;
  }

  /**
   * Submits what is recorded and waits for the submission before it: when this resolves, one is under way. Rejects on
   * abort, device loss or any error. `done` is called after submitting and resolves when the commands are over; by default
   * it asks the queue, and where the commands fill a buffer that is mapped, mapping it is enough.
   */
  async submit(done: () => Promise<unknown> = () => this.open.device.queue.onSubmittedWorkDone()): Promise<void> {
    this.signal?.throwIfAborted();
    if (this.encoder === null) return;
    const { device } = this.open;
    device.queue.writeBuffer(this.uniformBuffer, 0, this.uniforms, 0, this.used * UNIFORM_BYTES);
    const readTimes = this.timer?.resolve(this.encoder, this.used);
    this.receipts.sign(this.encoder);
    device.queue.submit([this.encoder.finish()]);
    this.encoder = null;
    // The run goes on without the times if they can't be read.
    const over = Promise.all([done(), readTimes?.().catch(() => null) ?? null]);
    const before = this.newest;
    this.newest = this.account(over, before, { layer: this.layer, macs: this.macs, cost: this.cost, submitted: performance.now(), budget: this.budget });
    this.newest.catch(() => undefined); // the next wait rejects with it
    this.macs = 0;
    this.cost = 0;
    this.used = 0;
    await before;
    if (this.receipts.full) await this.confirm();
  }

  /** Submits what is recorded and waits for all of it. Rejects as `submit` does. */
  async flush(): Promise<void> {
    await this.submit();
    await this.newest;
  }

  /** Waits for a submission, reports it and adapts the budget to its rate. */
  private async account(
    over: Promise<readonly [unknown, number | null]>,
    before: Promise<void>,
    { layer, macs, cost, submitted, budget }: Work & { readonly layer: number; readonly submitted: number; readonly budget: number },
  ): Promise<void> {
    const [, [, gpuMilliseconds]] = await Promise.all([before, this.wait(over)]);
    const now = performance.now();
    // Small submissions are all overhead and say nothing about the rate.
    if (cost >= budget / 4) {
      const elapsed = now - Math.max(submitted, this.lastOver);
      this.budget = cost * Math.min(4, Math.max(0.25, TARGET_MS / Math.max(elapsed, 1)));
    }
    this.onDone({ layer, macs, gpuMilliseconds });
    this.lastOver = now;
    this.check();
  }

  /** Rejects unless everything submitted was carried out. */
  async confirm(): Promise<void> {
    await this.receipts.check((promise) => this.wait(promise));
    this.check();
  }

  /** The value of `promise`, unless the device is lost, gives no answer, or the run is aborted first. */
  private async wait<T>(promise: Promise<T>): Promise<T> {
    let seconds = 0;
    let timer: ReturnType<typeof setInterval> | undefined;
    // Counts ticks instead of reading the clock: a phone that sleeps is not a device that hangs.
    const silent = new Promise<never>((_, reject) => {
      timer = setInterval(() => {
        if (++seconds === PATIENCE_S) reject(new Error('WebGPU: the graphics device stopped answering'));
      }, 1000);
    });
    try {
      return await orAbort(Promise.race([promise, this.open.lost, silent]), this.signal);
    } finally {
      clearInterval(timer);
    }
  }

  private check(): void {
    const error = this.open.takeError();
    if (error !== null) throw new Error(`WebGPU: ${error}`);
    this.signal?.throwIfAborted();
  }
}
