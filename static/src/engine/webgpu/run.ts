// One run on a GPU device: plan, pipelines, buffers, then the steps, and everything freed at the end.
import { checkInput, macsPerVoxel } from '../graph';
import { checkedBlocks, fuses, makePlan, type Plan, type PlaneRef, type Step } from '../plan';
import type { EngineInput, Graph, Layer, LayerTiming, RunOptions, RunResult } from '../types';
import type { Dims } from '../../volume/volume';
import type { OpenDevice } from './device';
import type { Kernels, Variant } from './kernels';
import { allocating, Memory } from './memory';
import { chooseTiling, packAffine, packBlock, packClassifier, texelsOf } from './pack';
import { orAbort, Queue, type Done } from './queue';
import { carryOut, type Block, type LayerResources, type Run } from './steps';
import { tunablesFor, type Tunables } from './tunables';

/** Runs the network. Buffers are destroyed however it ends. Rejects with a sentence, or the signal's reason. */
export async function runGraph(open: OpenDevice, kernels: Kernels, tunables: Tunables, f16: boolean, graph: Graph, input: EngineInput, options: RunOptions): Promise<RunResult> {
  checkInput(graph, input);
  const memory = new Memory(open.device);
  open.takeError();
  try {
    const clock = new Clock(graph, input, options);
    const run = await prepare(open, kernels, tunables, f16, graph, input, options, memory, clock);
    clock.prepared();
    for (const step of run.plan.steps) {
      const layer = layerOf(step, run.queue.layer);
      if (layer !== run.queue.layer) {
        await run.queue.submit();
        run.queue.layer = layer;
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

  const voxels = nx * ny * nz;
  const tuned = tunablesFor(tunables, voxels);
  const tilings = blocks.map((block, i) => chooseTiling(block, input.dims, kernels.lanes(block) ? tuned : { ...tuned, mostColumns: 1 }, fused && i === last));
  const copies = tuned.unroll ? 3 : 1;
  const compiled = Promise.all([
    Promise.all(blocks.map((block, i) => {
      const { rows, columns, blocks: widths } = tilings[i]!;
      return Promise.all(widths.map((width) => kernels.conv(block, rows, columns, width, copies, variant, fused && i === last ? classes : null)));
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
        columns: tilings[i]!.columns,
        blocks: blocksOf(layer, tilings[i]!.blocks, convs[i]!, kernels, memory),
        affine: layer.norm && memory.constants(`${layer.name} affine`, packAffine(layer)),
        norm: layer.norm && memory.buffer(`${layer.name} norm`, layer.outChannels * 16, GPUBufferUsage.STORAGE),
      })),
      classifier: memory.constants('classifier', packClassifier(graph.layers.at(-1)!)),
      statistics: anyNorm ? memory.buffer('statistics', nz * Math.max(...blocks.map((b) => b.outChannels)) * 8, GPUBufferUsage.STORAGE) : null,
      logits: inspect ? memory.buffer('logits', logitBytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC) : null,
      staging: [0, 1].map((i) => memory.buffer(`staging ${i}`, largest, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST)),
    };
  });
  return {
    open, plan, graph, input, options, bytesPerValue, memory,
    workgroup: tunables.workgroup,
    queue: new Queue(open, memory, options.signal, (done) => { clock.add(done); }),
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
    const weights = kernels.lanes(layer) ? memory.texels(label, packed, texelsOf(layer.inChannels, channels)) : memory.constants(label, packed);
    return { first, channels, pipeline: pipelines[i]!, weights };
  });
}

/** Layer a step belongs to; uploads, label and classifier steps count to the layer around them. */
function layerOf(step: Step, current: number): number {
  return step.kind === 'upload' || step.kind === 'labels' ? current : step.layer;
}

/** Time per layer, and progress by multiply-adds. */
class Clock {
  private readonly started = performance.now();
  private prepareMs = 0;
  private readonly spent: Record<'milliseconds' | 'gpuMilliseconds', number>[];
  /** Whether the device has a clock of its own. */
  private timed = false;
  private readonly totalMacs: number;
  private macs = 0;

  constructor(private readonly graph: Graph, input: EngineInput, private readonly options: RunOptions) {
    const voxels = input.dims[0] * input.dims[1] * input.dims[2];
    this.totalMacs = voxels * graph.layers.reduce((sum, layer) => sum + macsPerVoxel(layer), 0);
    this.spent = graph.layers.map(() => ({ milliseconds: 0, gpuMilliseconds: 0 }));
  }

  /** Compiled and allocated; the first layer's time begins. */
  prepared(): void {
    this.prepareMs = performance.now() - this.started;
  }

  /** Work done; the passes of a norm count as well, so the share is held below 1 until the end. */
  add({ layer, macs, milliseconds, gpuMilliseconds }: Done): void {
    this.macs += macs;
    const spent = this.spent[layer]!;
    spent.milliseconds += milliseconds;
    spent.gpuMilliseconds += gpuMilliseconds ?? 0;
    this.timed ||= gpuMilliseconds !== null;
    this.report(layer, Math.min(this.macs / this.totalMacs, 0.999));
  }

  /** `prepare` (compiling, allocating), then every block; the last one's time includes the classifier. */
  finish(): readonly LayerTiming[] {
    const blocks = this.graph.layers.slice(0, -1);
    this.report(blocks.length - 1, 1);
    return [
      { name: 'prepare', milliseconds: this.prepareMs },
      ...blocks.map(({ name }, i) => {
        const { milliseconds, gpuMilliseconds } = this.spent[i]!;
        return { name, milliseconds, ...(this.timed ? { gpuMilliseconds } : {}) };
      }),
    ];
  }

  private report(layer: number, fraction: number): void {
    this.options.onProgress?.({ layer, layers: this.graph.layers.length, fraction });
  }
}
