// Bounded submissions: work is cut so that no submission runs much longer than TARGET_MS. A driver then never
// resets a long one, and a cancel is noticed between two of them. Two are under way at a time: the device goes on
// with the next while the browser learns that one is over, which takes it a millisecond to a tenth of a second.
import type { OpenDevice } from './device';
import type { Memory } from './memory';
import { Receipts } from './receipts';
import { GpuTimer } from './timer';

const TARGET_MS = 250;
/** Some drivers drop work without a word, and its end is never told. */
const PATIENCE_S = 60;
/** First guess, before anything was timed: 20 million multiply-adds take under a second anywhere. */
const FIRST_MACS = 20e6;
/** Uniform blocks of one submission, 256 bytes apart as the default limits ask. */
const SLOTS = 256;
const SLOT_BYTES = 256;

/** Milliseconds by the wall's clock since the submission before was over, and in passes by the device's, if it has one. */
export interface Done {
  readonly layer: number;
  readonly macs: number;
  readonly milliseconds: number;
  readonly gpuMilliseconds: number | null;
}

export type Bindings = readonly (readonly [binding: number, resource: GPUBuffer | GPUTextureView])[];

export class Queue {
  /** Multiply-adds that one submission may hold now. */
  budget = FIRST_MACS;
  /** Layer that counts what is recorded from now on; submit first. */
  layer = 0;
  /** Settles with the newest submission. */
  private newest: Promise<void> = Promise.resolve();
  private lastOver = performance.now();
  private encoder: GPUCommandEncoder | null = null;
  private macs = 0;
  private used = 0;
  private readonly uniforms = new Uint8Array(SLOTS * SLOT_BYTES);
  private readonly uniformBuffer: GPUBuffer;
  private readonly timer: GpuTimer | null;
  private readonly receipts: Receipts;

  constructor(
    private readonly open: OpenDevice,
    memory: Memory,
    private readonly signal: AbortSignal | undefined,
    private readonly onDone: (done: Done) => void,
  ) {
    this.uniformBuffer = memory.buffer('uniforms', SLOTS * SLOT_BYTES, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
    this.timer = open.device.features.has('timestamp-query') ? new GpuTimer(memory, SLOTS) : null;
    this.receipts = new Receipts(open.device, memory);
  }

  get commands(): GPUCommandEncoder {
    this.encoder ??= this.open.device.createCommandEncoder({ label: 'meshnet' });
    return this.encoder;
  }

  /** Room for `macs` more? Submits first where not. */
  async reserve(macs: number): Promise<void> {
    if (this.used === SLOTS || (this.macs > 0 && this.macs + macs > this.budget)) await this.submit();
  }

  /** One dispatch; `bindings` start at 1, the uniform block `values` is binding 0. */
  dispatch(
    pipeline: GPUComputePipeline,
    values: ArrayBuffer,
    bindings: Bindings,
    second: Bindings,
    groups: readonly [number, number, number],
    macs: number,
  ): void {
    const { device } = this.open;
    const slot = this.used++;
    const offset = slot * SLOT_BYTES;
    this.uniforms.set(new Uint8Array(values), offset);
    const pass = this.commands.beginComputePass({ label: pipeline.label, ...this.timer?.of(slot) });
    pass.setPipeline(pipeline);
    const own = { binding: 0, resource: { buffer: this.uniformBuffer, offset, size: SLOT_BYTES } };
    const entries = (list: typeof bindings) => list.map(([binding, bound]) => ({ binding, resource: bound instanceof GPUBuffer ? { buffer: bound } : bound }));
    pass.setBindGroup(0, device.createBindGroup({ label: pipeline.label, layout: pipeline.getBindGroupLayout(0), entries: [own, ...entries(bindings)] }));
    if (second.length > 0) {
      pass.setBindGroup(1, device.createBindGroup({ label: pipeline.label, layout: pipeline.getBindGroupLayout(1), entries: entries(second) }));
    }
    pass.dispatchWorkgroups(...groups);
    pass.end();
    this.macs += macs;
  }

  /**
   * Submits what is recorded and waits for the submission before it: when this resolves, one is under way. Rejects on
   * abort, device loss or any error. `done` is called after submitting and may wait for the commands' end in another way:
   * a buffer they fill that is mapped.
   */
  async submit(done: () => Promise<unknown> = () => this.open.device.queue.onSubmittedWorkDone()): Promise<void> {
    this.signal?.throwIfAborted();
    if (this.encoder === null) return;
    const { device } = this.open;
    device.queue.writeBuffer(this.uniformBuffer, 0, this.uniforms, 0, this.used * SLOT_BYTES);
    const readTimes = this.timer?.resolve(this.encoder, this.used);
    this.receipts.sign(this.encoder);
    device.queue.submit([this.encoder.finish()]);
    this.encoder = null;
    // Without the times the run goes on.
    const over = Promise.all([done(), readTimes?.().catch(() => null) ?? null]);
    const before = this.newest;
    this.newest = this.account(over, before, { layer: this.layer, macs: this.macs, submitted: performance.now(), budget: this.budget });
    this.newest.catch(() => undefined); // told to whoever waits next
    this.macs = 0;
    this.used = 0;
    await before;
    if (this.receipts.full) await this.confirm();
  }

  /** Submits what is recorded and waits for all of it. Rejects as `submit` does. */
  async flush(): Promise<void> {
    await this.submit();
    await this.newest;
  }

  /** Waits for a submission, tells of it and adapts the budget to its rate. */
  private async account(
    over: Promise<readonly [unknown, number | null]>,
    before: Promise<void>,
    { layer, macs, submitted, budget }: { layer: number; macs: number; submitted: number; budget: number },
  ): Promise<void> {
    const [, [, gpuMilliseconds]] = await Promise.all([before, this.wait(over)]);
    const now = performance.now();
    // Small submissions are all overhead and say nothing about the rate.
    if (macs >= budget / 4) {
      const elapsed = now - Math.max(submitted, this.lastOver);
      this.budget = macs * Math.min(4, Math.max(0.25, TARGET_MS / Math.max(elapsed, 1)));
    }
    this.onDone({ layer, macs, milliseconds: now - this.lastOver, gpuMilliseconds });
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
    // Ticks, not the clock: a phone that sleeps is not a device that hangs.
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

/** Settles as `promise` does, or rejects with the signal's reason as soon as it aborts. */
export async function orAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => {
      reject(signal.reason instanceof Error ? signal.reason : new DOMException('the run was cancelled', 'AbortError'));
    };
    signal.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (stop) signal.removeEventListener('abort', stop);
  }
}
