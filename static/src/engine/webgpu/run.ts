// One run on a GPU device: plan, pipelines, buffers, then the steps, and everything freed at the end.
import { checkInput, macsPerVoxel } from '../graph';
import { checkedBlocks, fuses, makePlan, type Plan, type PlaneRef, type Step } from '../plan';
import type { Dims, EngineInput, Graph, Layer, LayerTiming, RunOptions, RunResult } from '../types';
import type { OpenDevice } from './device';
import type { Kernels, Variant } from './kernels';
import { allocating, Memory } from './memory';
import { chooseTiling, packAffine, packBlock, packClassifier, texelsOf } from './pack';
import { orAbort, Queue } from './queue';
import { carryOut, type Block, type LayerResources, type Run } from './steps';
import type { Tunables } from './tunables';

/** Runs the network. Buffers are destroyed however it ends. Rejects with a sentence, or the signal's reason. */
export async function runGraph(open: OpenDevice, kernels: Kernels, tunables: Tunables, f16: boolean, graph: Graph, input: EngineInput, options: RunOptions): Promise<RunResult> {
  checkInput(graph, input);
  const memory = new Memory(open.device);
  open.takeError();
  try {
    const clock = new Clock(graph, input, options);
    const run = await prepare(open, kernels, tunables, f16, graph, input, options, memory, clock);
    clock.lap('prepare');
    for (const step of run.plan.steps) {
      if (clock.layer !== layerOf(step, clock.layer)) {
        await run.queue.flush();
        clock.enter(layerOf(step, clock.layer));
      }
      await carryOut(run, step);
    }
    await run.queue.flush();
    await run.queue.confirm();
    const timings = clock.finish();
    const { labels, margin } = run;
    const { peakBytes, largestBufferBytes } = memory;
    return { labels, margin, timings, peakBytes, largestBufferBytes, details: { storage: f16 ? 'float16' : 'float32' } };
  } finally {
    memory.destroy();
  }
}

/** Throws an Error with the numbers where the volume does not fit this device's limits. */
export function planFor(device: GPUDevice, graph: Graph, dims: Dims, options: RunOptions, bytesPerValue: 4 | 2): Plan {
  return makePlan(graph, dims, { maxBufferBytes: bufferLimit(device, options), bytesPerValue, inspect: options.inspect !== undefined });
}

function bufferLimit(device: GPUDevice, options: RunOptions): number {
  return Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize, options.maxBufferBytes ?? Infinity);
}

async function prepare(
  open: OpenDevice, kernels: Kernels, tunables: Tunables, f16: boolean, graph: Graph, input: EngineInput, options: RunOptions, memory: Memory, clock: Clock,
): Promise<Run> {
  const { device } = open;
  const limit = bufferLimit(device, options);
  const bytesPerValue = f16 ? 2 : 4;
  const inspect = options.inspect !== undefined;
  const plan = planFor(device, graph, input.dims, options, bytesPerValue);
  const [nx, ny, nz] = input.dims;
  const blocks = checkedBlocks(graph);
  const last = blocks.length - 1;
  const { classes } = graph;
  const fused = fuses(blocks, last, inspect);
  const raw = blocks[last]!.norm !== null && !inspect;
  const variant: Variant = { f16, margin: options.margin ?? false, logits: inspect };
  const anyNorm = blocks.some((block) => block.norm !== null);

  const tilings = blocks.map((block, i) => chooseTiling(block, ny, tunables, fused && i === last));
  const copies = nx * ny * nz >= tunables.unrollFromVoxels ? 3 : 1;
  const compiled = Promise.all([
    Promise.all(blocks.map((block, i) => {
      const { rows, blocks: widths } = tilings[i]!;
      return Promise.all(widths.map((width) => kernels.conv(block, rows, width, copies, variant, fused && i === last ? classes : null)));
    })),
    anyNorm ? kernels.statistics(variant) : Promise.resolve(null),
    anyNorm ? kernels.merge() : Promise.resolve(null),
    Promise.all(blocks.map((block) => (block.norm === null ? Promise.resolve(null) : kernels.normalize(block, variant)))),
    fused ? Promise.resolve(null) : kernels.classify(blocks[last]!, variant, classes, raw),
  ]);
  const [convs, statistics, merge, normalize, classify] = await orAbort(Promise.race([compiled, open.lost]), options.signal);

  const labelBytes = plan.pools.labels.bytes;
  const logitBytes = inspect ? plan.planesPerChunk * classes * nx * ny * 4 : 0;
  const largest = Math.max(labelBytes * (variant.margin ? 2 : 1), inspect ? Math.max(plan.pools.activation.bytes, logitBytes) : 0);
  if (largest > limit) throw new Error(`WebGPU: reading back takes a buffer of ${largest} bytes, this device allows ${limit}; use a smaller volume`);
  const buffers = await allocating(open, memory, () => {
    const pool = (name: PlaneRef['pool'], bytes: number) =>
      Array.from({ length: plan.pools[name].slots }, (_, i) =>
        memory.buffer(`${name} ${i}`, bytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST));
    return {
      slots: {
        input: pool('input', plan.pools.input.bytes),
        activation: pool('activation', plan.pools.activation.bytes),
        labels: pool('labels', labelBytes * (variant.margin ? 2 : 1)),
      },
      layers: blocks.map((layer, i): LayerResources => ({
        layer,
        rows: tilings[i]!.rows,
        blocks: blocksOf(layer, tilings[i]!.blocks, convs[i]!, kernels, memory),
        affine: layer.norm && memory.constants(`${layer.name} affine`, packAffine(layer)),
        norm: layer.norm && memory.buffer(`${layer.name} norm`, layer.outChannels * 16, GPUBufferUsage.STORAGE),
      })),
      classifier: memory.constants('classifier', packClassifier(graph.layers.at(-1)!)),
      statistics: anyNorm ? memory.buffer('statistics', nz * Math.max(...blocks.map((b) => b.outChannels)) * 8, GPUBufferUsage.STORAGE) : null,
      logits: inspect ? memory.buffer('logits', logitBytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC) : null,
      staging: memory.buffer('staging', largest, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST),
    };
  });
  const voxels = nx * ny * nz;
  return {
    open, plan, graph, input, options, bytesPerValue, memory,
    workgroup: tunables.workgroup,
    queue: new Queue(open, memory, options.signal, (macs, gpuMilliseconds) => { clock.add(macs, gpuMilliseconds); }),
    ...buffers,
    pipelines: { statistics, merge, normalize, classify },
    marginOffset: labelBytes,
    labels: new Uint8Array(voxels),
    margin: variant.margin ? new Uint8Array(voxels) : null,
    inspected: new Map(),
  };
}

function blocksOf(layer: Layer, widths: readonly number[], pipelines: readonly GPUComputePipeline[], kernels: Kernels, memory: Memory): Block[] {
  let next = 0;
  return widths.map((channels, i) => {
    const first = next;
    next += channels;
    const [label, packed] = [`${layer.name} weights ${i}`, packBlock(layer, first, channels)];
    const weights = kernels.lanes(layer, channels) ? memory.texels(label, packed, texelsOf(layer.inChannels, channels)) : memory.constants(label, packed);
    return { first, channels, pipeline: pipelines[i]!, weights };
  });
}

/** Layer a step belongs to; uploads, label and classifier steps count to the layer around them. */
function layerOf(step: Step, current: number): number {
  return step.kind === 'upload' || step.kind === 'labels' ? current : step.layer;
}

/** Time per layer, and progress by multiply-adds. */
class Clock {
  layer = 0;
  private readonly timings: LayerTiming[] = [];
  private readonly totalMacs: number;
  private done = 0;
  private started = performance.now();
  /** Since then, by the device's clock; null where it has none. */
  private gpu: number | null = null;

  constructor(private readonly graph: Graph, input: EngineInput, private readonly options: RunOptions) {
    const voxels = input.dims[0] * input.dims[1] * input.dims[2];
    this.totalMacs = voxels * graph.layers.reduce((sum, layer) => sum + macsPerVoxel(layer), 0);
  }

  /** Work done; the passes of a norm count as well, so the share is held below 1 until the end. */
  add(macs: number, gpuMilliseconds: number | null): void {
    this.done += macs;
    if (gpuMilliseconds !== null) this.gpu = (this.gpu ?? 0) + gpuMilliseconds;
    this.report(Math.min(this.done / this.totalMacs, 0.999));
  }

  /** Ends a stretch of time that goes by this name. */
  lap(name: string): void {
    const milliseconds = performance.now() - this.started;
    this.timings.push({ name, milliseconds, ...(this.gpu === null ? {} : { gpuMilliseconds: this.gpu }) });
    this.started = performance.now();
    this.gpu = null;
  }

  enter(layer: number): void {
    this.lap(this.graph.layers[this.layer]!.name);
    this.layer = layer;
  }

  /** `prepare` (compiling, allocating), then every block; the last one's time includes the classifier. */
  finish(): readonly LayerTiming[] {
    this.enter(this.layer);
    this.report(1);
    return this.timings;
  }

  private report(fraction: number): void {
    this.options.onProgress?.({ layer: this.layer, layers: this.graph.layers.length, fraction });
  }
}
