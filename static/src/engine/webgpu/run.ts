// Prepares a run on a GPU device: plan, pipelines, buffers. The run loop then carries the plan's steps out (steps.ts).
import { orAbort } from '../cancel';
import { convolutionsOf, fusesClassifier } from '../graph';
import type { Plan, PoolName } from '../plan';
import { tasksOf, type Prepared, type Run } from '../run-loop';
import { bytesPerValue, type StorageFormat } from '../storage';
import type { Graph, Layer, RunOptions } from '../types';
import type { Dims } from '../../volume/volume';
import { planBuffers } from './chunks';
import type { OpenDevice } from './device';
import type { ConvTiling, Kernels, Variant } from './kernels';
import { allocating, Memory } from './memory';
import { chooseTiling, packAffine, packBlock, packClassifier, texelsOf } from './pack';
import { Queue } from './queue';
import { carryOut, type RegisterBlock, type GpuRun, type LayerResources } from './steps';
import { tunablesFor, type Tunables } from './tunables';

/** Throws an Error with the numbers where the volume does not fit this device's limits. */
export function planFor(device: GPUDevice, graph: Graph, dims: Dims, options: RunOptions, storage: StorageFormat): Plan {
  const maxBufferBytes = bufferLimit(device, options);
  return planBuffers(graph, dims, { maxBufferBytes, bytesPerValue: bytesPerValue(storage), inspect: options.inspect !== undefined });
}

function bufferLimit(device: GPUDevice, options: RunOptions): number {
  return Math.min(device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize, options.maxBufferBytes ?? Infinity);
}

/** Compiles and allocates. Rejects with OutOfMemory, a sentence, or the signal's reason. */
export async function prepare(open: OpenDevice, kernels: Kernels, tunables: Tunables, run: Run): Promise<Prepared> {
  open.takeError();
  const { graph, input, options } = run;
  const plan = planFor(open.device, graph, input.dims, options, run.storage);
  run.usage.neededBytes = plan.peakBytes;
  const memory = new Memory(open.device, run.usage);
  run.atEnd(() => { memory.destroy(); });

  const variant: Variant = { f16: run.storage === 'float16', probabilities: run.probabilities !== null, logits: run.outputs !== null };
  const fused = fusesClassifier(graph, run.outputs !== null);
  const tilings = tilingsOf(graph, input.dims, kernels, tunables, fused);
  const pipelines = await orAbort(Promise.race([compile(graph, tilings, kernels, variant, fused), open.lost]), run.signal);
  const stagingBytes = readBackBytes(open.device, plan, graph, run);
  const buffers = await allocating(open, () => allocate(run, plan, tilings, kernels, memory, pipelines.convs, stagingBytes));
  const queue = new Queue(open, memory, run.signal, (done) => { run.meter.done(done); });
  const gpuRun: GpuRun = { ...run, open, plan, workgroup: tunables.workgroup, bytesPerValue: bytesPerValue(run.storage), queue, pipelines, ...buffers };
  return {
    tasks: tasksOf(plan, graph, (step) => carryOut(gpuRun, step)),
    async endLayer(_, next) {
      await queue.submit();
      queue.layer = next;
    },
    async finish() {
      await queue.flush();
      await queue.confirm();
    },
  };
}

function tilingsOf(graph: Graph, dims: Dims, kernels: Kernels, tunables: Tunables, fused: boolean): ConvTiling[] {
  const layers = convolutionsOf(graph);
  const tuned = tunablesFor(tunables, dims[0] * dims[1] * dims[2]);
  return layers.map((layer, i) => {
    const costs = kernels.lanes(layer) ? tuned : { ...tuned, mostColumns: 1 };
    return { ...chooseTiling(layer, dims, costs, fused && i === layers.length - 1), copies: tuned.unroll ? 3 : 1 };
  });
}

type Pipelines = GpuRun['pipelines'] & { /** Per layer and block. */ readonly convs: readonly (readonly GPUComputePipeline[])[] };

/** Every pipeline of the run, all compiled at the same time. */
async function compile(graph: Graph, tilings: readonly ConvTiling[], kernels: Kernels, variant: Variant, fused: boolean): Promise<Pipelines> {
  const layers = convolutionsOf(graph);
  const last = layers.length - 1;
  const anyNorm = layers.some((layer) => layer.norm !== null);
  const raw = layers[last]!.norm !== null && !variant.logits;
  const none = Promise.resolve(null);
  const [convs, statistics, merge, normalize, classify] = await Promise.all([
    Promise.all(layers.map((layer, i) => {
      const tiling = tilings[i]!;
      return Promise.all(tiling.blocks.map((block) => kernels.conv(layer, tiling, block, variant, fused && i === last ? graph.classes : null)));
    })),
    anyNorm ? kernels.statistics(variant) : none,
    anyNorm ? kernels.merge() : none,
    Promise.all(layers.map((layer) => (layer.norm === null ? none : kernels.normalize(layer, variant)))),
    fused ? none : kernels.classify(layers[last]!, variant, graph.classes, raw),
  ]);
  return { convs, statistics, merge, normalize, classify };
}

/** Bytes of the largest read-back: labels with probabilities, or what `inspect` needs. Throws an Error where the device has no such buffer. */
function readBackBytes(device: GPUDevice, plan: Plan, graph: Graph, { input, probabilities, outputs, options }: Run): number {
  const labels = plan.pools.labels.bytesPerSlot * (probabilities === null ? 1 : graph.classes);
  const inspected = outputs === null ? 0 : Math.max(plan.pools.activation.bytesPerSlot, logitBytes(plan, graph, input.dims));
  const bytes = Math.max(labels, inspected);
  const limit = bufferLimit(device, options);
  if (bytes > limit) throw new Error(`WebGPU: reading back takes a buffer of ${bytes} bytes, this device allows ${limit}; use a smaller volume`);
  return bytes;
}

function logitBytes(plan: Plan, graph: Graph, [nx, ny]: Dims): number {
  return plan.planesPerChunk * graph.classes * nx * ny * 4;
}

type Buffers = Pick<GpuRun, 'slots' | 'layers' | 'classifier' | 'statistics' | 'logits' | 'staging' | 'classStride'>;

function allocate(run: Run, plan: Plan, tilings: readonly ConvTiling[], kernels: Kernels, memory: Memory, convs: Pipelines['convs'], stagingBytes: number): Buffers {
  const { graph, input, probabilities, outputs } = run;
  const layers = convolutionsOf(graph);
  const anyNorm = layers.some((layer) => layer.norm !== null);
  const widest = Math.max(...layers.map((layer) => layer.outChannels));
  const slots = (name: PoolName, bytes: number) =>
    Array.from({ length: plan.pools[name].slots }, (_, i) =>
      memory.buffer(`${name} ${i}`, bytes, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST));
  const labelBytes = plan.pools.labels.bytesPerSlot;
  return {
    slots: {
      input: slots('input', plan.pools.input.bytesPerSlot),
      activation: slots('activation', plan.pools.activation.bytesPerSlot),
      labels: slots('labels', labelBytes * (probabilities === null ? 1 : graph.classes)),
    },
    layers: layers.map((layer, i): LayerResources => ({
      layer,
      tiling: tilings[i]!,
      blocks: blocksOf(layer, tilings[i]!, convs[i]!, kernels, memory),
      affine: layer.norm && memory.constants(`${layer.name} affine`, packAffine(layer)),
      norm: layer.norm && memory.buffer(`${layer.name} norm`, layer.outChannels * 16, GPUBufferUsage.STORAGE),
    })),
    classifier: memory.constants('classifier', packClassifier(graph.layers.at(-1)!)),
    statistics: anyNorm ? memory.buffer('statistics', input.dims[2] * widest * 8, GPUBufferUsage.STORAGE) : null,
    logits: outputs === null ? null : memory.buffer('logits', logitBytes(plan, graph, input.dims), GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC),
    staging: [0, 1].map((i) => memory.buffer(`staging ${i}`, stagingBytes, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST)),
    classStride: labelBytes,
  };
}

function blocksOf(layer: Layer, { blocks }: ConvTiling, pipelines: readonly GPUComputePipeline[], kernels: Kernels, memory: Memory): RegisterBlock[] {
  let next = 0;
  return blocks.map((channels, i) => {
    const first = next;
    next += channels;
    const [label, packed] = [`${layer.name} weights ${i}`, packBlock(layer, first, channels)];
    const weights = kernels.lanes(layer) ? memory.texels(label, packed, texelsOf(layer.inChannels, channels)) : memory.constants(label, packed);
    return { first, channels, pipeline: pipelines[i]!, weights };
  });
}
