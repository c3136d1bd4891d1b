// Each kind of a plan's steps as GPU commands.
import { macsPerVoxel } from '../graph';
import { fromHalf, toHalf } from '../half';
import { macsOf } from '../meter';
import type { Plan, PlaneRef, PoolName, Step, StepOf } from '../plan';
import type { Run } from '../run-loop';
import type { Layer } from '../types';
import { planeBytes } from './chunks';
import type { OpenDevice } from './device';
import { rowGroups, type Tiling } from './pack';
import type { Bindings, Queue, Work } from './queue';
import type { Tunables } from './tunables';

/** Output channels first … first + channels − 1 of a layer, which one dispatch computes. */
export interface RegisterBlock {
  readonly first: number;
  readonly channels: number;
  readonly pipeline: GPUComputePipeline;
  readonly weights: GPUBuffer | GPUTextureView;
}

export interface LayerResources {
  readonly layer: Layer;
  readonly tiling: Tiling;
  readonly blocks: readonly RegisterBlock[];
  /** Instance norm only. */
  readonly affine: GPUBuffer | null;
  readonly norm: GPUBuffer | null;
}

/** A run on the device. */
export interface GpuRun extends Run {
  readonly open: OpenDevice;
  readonly plan: Plan;
  readonly bytesPerValue: 4 | 2;
  readonly workgroup: Tunables['workgroup'];
  readonly queue: Queue;
  readonly layers: readonly LayerResources[];
  readonly slots: Readonly<Record<PoolName, readonly GPUBuffer[]>>;
  readonly statistics: GPUBuffer | null;
  readonly classifier: GPUBuffer;
  readonly pipelines: {
    readonly statistics: GPUComputePipeline | null;
    readonly merge: GPUComputePipeline | null;
    readonly normalize: readonly (GPUComputePipeline | null)[];
    readonly classify: GPUComputePipeline | null;
  };
  readonly logits: GPUBuffer | null;
  /** Used in turns: two submissions may be under way. */
  readonly staging: GPUBuffer[];
  /** Bytes from a label to its probability of class 1, and from class to class, inside a label slot. */
  readonly classStride: number;
}

export async function carryOut(run: GpuRun, step: Step): Promise<void> {
  switch (step.kind) {
    case 'upload': return upload(run, step);
    case 'conv': return conv(run, step);
    case 'statistics': return statistics(run, step);
    case 'merge': return merge(run, step);
    case 'normalize': return normalize(run, step);
    case 'classify': return classify(run, step);
    case 'labels': return readLabels(run, step);
    case 'output': return readOutput(run, step);
  }
}

async function upload(run: GpuRun, { z, planes, at }: StepOf<'upload'>): Promise<void> {
  await run.queue.submit(); // a write to the queue overtakes commands that are recorded but not submitted
  const { graph, input, bytesPerValue, open } = run;
  const [nx, ny, nz] = input.dims;
  const area = nx * ny;
  const perPlane = stride(run, graph.inChannels);
  const chunk = bytesPerValue === 2 ? new Uint16Array(planes * perPlane) : new Float32Array(planes * perPlane);
  for (let i = 0; i < planes; i++) {
    for (let c = 0; c < graph.inChannels; c++) {
      const from = (c * nz + z + i) * area;
      const values = input.data.subarray(from, from + area);
      chunk.set(bytesPerValue === 2 ? Uint16Array.from(values, toHalf) : values, i * perPlane + c * area);
    }
  }
  open.device.queue.writeBuffer(buffer(run, at), at.plane * perPlane * bytesPerValue, chunk);
}

/** Cuts the step's planes, and where one plane is too much its row groups, into dispatches that fit the queue's budget. */
async function conv(run: GpuRun, { layer, planes, inputs, outs }: StepOf<'conv'>): Promise<void> {
  const { graph, queue } = run;
  const [out] = outs as [PlaneRef]; // ascending chunks: one run
  const resources = run.layers[layer]!;
  const { dilation, outChannels } = resources.layer;
  const [nx, ny] = run.input.dims;
  const fused = out.pool === 'labels';
  if (fused && out.plane === 0) queue.commands.clearBuffer(buffer(run, out));
  const groups = rowGroups(ny, dilation, resources.tiling.rows);
  const planeMacs = macsOf(graph, layer, nx * ny, fused);
  for (const block of resources.blocks) {
    const macs = (planeMacs * block.channels) / outChannels;
    let plane = 0;
    while (plane < planes) {
      await queue.reserve(macs);
      const count = Math.min(planes - plane, Math.max(1, Math.floor(queue.budget / macs)));
      let group = 0;
      while (group < groups) {
        const groupMacs = (count * macs) / groups;
        const share = Math.min(groups - group, Math.max(1, Math.floor(queue.budget / groupMacs)));
        await queue.reserve(share * groupMacs);
        dispatchConv(run, resources, block, { inputs, out, plane, count, group, share, macs: share * groupMacs });
        group += share;
      }
      plane += count;
    }
  }
}

/** Planes plane … plane + count − 1 of a step, row groups group … group + share − 1. */
interface ConvPart {
  readonly inputs: StepOf<'conv'>['inputs'];
  readonly out: PlaneRef;
  readonly plane: number;
  readonly count: number;
  readonly group: number;
  readonly share: number;
  readonly macs: number;
}

function dispatchConv(run: GpuRun, { layer, tiling }: LayerResources, block: RegisterBlock, part: ConvPart): void {
  const { inputs, out, plane, count, group, share, macs } = part;
  const { classStride, workgroup, queue } = run;
  const [nx, ny] = run.input.dims;
  const fused = out.pool === 'labels';
  const inStride = stride(run, layer.inChannels);
  const outStride = fused ? 0 : stride(run, layer.outChannels);
  const windows = inputs.map((ref) => buffer(run, ref ?? inputs[1]!));
  const bindings: Bindings = [[1, windows[0]!], [2, windows[1]!], [3, windows[2]!], [4, block.weights], ...(fused ? [] : [[5, buffer(run, out)] as const])];
  const second: Bindings = fused ? [[0, run.classifier], [1, buffer(run, out)]] : [];
  const values = new Uint32Array(16);
  values.set([nx, ny, layer.dilation, inStride], 0);
  values.set(inputs.map((ref) => (ref === null ? 0 : (ref.plane + plane) * inStride)), 4);
  values.set([fused ? 0 : (out.plane + plane) * outStride + block.first * nx * ny], 7);
  values.set([outStride, group, (out.plane + plane) * nx * ny, classStride], 8);
  values.set(inputs.map((ref) => (ref === null ? 0 : count)), 12);
  const columnGroups = rowGroups(nx, layer.dilation, tiling.columns);
  queue.dispatch({
    pipeline: block.pipeline, uniform: values.buffer, bindings, second,
    workgroups: [Math.ceil(columnGroups / workgroup.x), Math.ceil(share / workgroup.y), count],
    work: { macs, cost: macs },
  });
}

async function statistics(run: GpuRun, { layer, z, planes, at }: StepOf<'statistics'>): Promise<void> {
  const { queue, pipelines } = run;
  const channels = run.layers[layer]!.layer.outChannels;
  const values = area(run);
  const work = moving(values * channels * planes);
  await queue.reserve(work.cost);
  const uniform = Uint32Array.of(values, channels, at.plane * stride(run, channels), stride(run, channels), z).buffer;
  const bindings = [[1, buffer(run, at)], [2, run.statistics!]] as const;
  queue.dispatch({ pipeline: pipelines.statistics!, uniform, bindings, workgroups: [1, channels, planes], work });
}

async function merge(run: GpuRun, { layer: index }: StepOf<'merge'>): Promise<void> {
  const { queue, pipelines } = run;
  const { layer, affine, norm } = run.layers[index]!;
  const work = moving(layer.outChannels);
  await queue.reserve(work.cost);
  const uniform = new DataView(new ArrayBuffer(16));
  [area(run), layer.outChannels, run.input.dims[2]].forEach((value, i) => { uniform.setUint32(4 * i, value, true); });
  uniform.setFloat32(12, layer.norm!.eps, true);
  const bindings = [[1, run.statistics!], [2, affine!], [3, norm!]] as const;
  queue.dispatch({ pipeline: pipelines.merge!, uniform: uniform.buffer, bindings, workgroups: [Math.ceil(layer.outChannels / 64), 1, 1], work });
}

async function normalize(run: GpuRun, { layer, planes, at }: StepOf<'normalize'>): Promise<void> {
  const { queue, pipelines } = run;
  const channels = run.layers[layer]!.layer.outChannels;
  const values = area(run);
  const work = moving(values * channels * planes);
  await queue.reserve(work.cost);
  const uniform = Uint32Array.of(values, at.plane * stride(run, channels), stride(run, channels)).buffer;
  const bindings = [[1, buffer(run, at)], [2, run.layers[layer]!.norm!]] as const;
  queue.dispatch({ pipeline: pipelines.normalize[layer]!, uniform, bindings, workgroups: [voxelGroups(values), channels, planes], work });
}

async function classify(run: GpuRun, { layer: index, raw, z, planes, at, out }: StepOf<'classify'>): Promise<void> {
  const { graph, queue, pipelines, classStride, logits } = run;
  const { layer, norm } = run.layers[index]!;
  const values = area(run);
  const macs = values * planes * macsPerVoxel(graph.layers.at(-1)!);
  const work = { macs, cost: macs + moving(values * planes * layer.outChannels).cost };
  await queue.reserve(work.cost);
  queue.commands.clearBuffer(buffer(run, out));
  const planeStride = stride(run, layer.outChannels);
  const uniform = Uint32Array.of(values, at.plane * planeStride, planeStride, out.plane * values, classStride).buffer;
  const bindings: Bindings = [[1, buffer(run, at)], ...(raw ? [[2, norm!] as const] : [])];
  const second: Bindings = [[0, run.classifier], [1, buffer(run, out)], ...(logits === null ? [] : [[2, logits] as const])];
  queue.dispatch({ pipeline: pipelines.classify!, uniform, bindings, second, workgroups: [voxelGroups(values), 1, planes], work });
  if (logits === null) return;
  const bytes = planes * graph.classes * values * 4;
  await readBack(run, logits, 0, bytes, (read) => {
    run.outputs?.addPlanes(graph.layers.length - 1, graph.classes, z, planes, new Float32Array(read), graph.classes * values);
  });
}

async function readLabels(run: GpuRun, { parts }: StepOf<'labels'>): Promise<void> {
  const values = area(run);
  const held = parts.reduce((sum, { planes }) => sum + planes, 0) * values;
  const classes = run.probabilities === null ? 1 : run.graph.classes;
  const bytes = (classes - 1) * run.classStride + held;
  await readBack(run, buffer(run, parts[0]!.at), 0, bytes, (read) => {
    for (const { z, planes, at } of parts) {
      run.labels.set(new Uint8Array(read, at.plane * values, planes * values), z * values);
      for (let k = 1; k < classes; k++) {
        run.probabilities!.set(new Uint8Array(read, k * run.classStride + at.plane * values, planes * values), (k - 1) * run.labels.length + z * values);
      }
    }
  });
}

async function readOutput(run: GpuRun, { layer, z, planes, at }: StepOf<'output'>): Promise<void> {
  const channels = run.layers[layer]!.layer.outChannels;
  const planeBytes = stride(run, channels) * run.bytesPerValue;
  await readBack(run, buffer(run, at), at.plane * planeBytes, planes * planeBytes, (read) => {
    const values = run.bytesPerValue === 2 ? Float32Array.from(new Uint16Array(read), fromHalf) : new Float32Array(read);
    run.outputs?.addPlanes(layer, channels, z, planes, values, stride(run, channels));
  });
}

/** Submits everything recorded and a copy of these bytes of a buffer; calls `use` with them when they have arrived. */
async function readBack(run: GpuRun, source: GPUBuffer, offset: number, bytes: number, use: (bytes: ArrayBuffer) => void): Promise<void> {
  const { queue } = run;
  const staging = run.staging.reverse()[0]!;
  const size = Math.ceil(bytes / 4) * 4;
  queue.commands.copyBufferToBuffer(source, offset, staging, 0, size);
  // One wait, not two: Deno asks only every 10 ms.
  await queue.submit(async () => {
    await staging.mapAsync(GPUMapMode.READ, 0, size);
    use(staging.getMappedRange(0, size));
    staging.unmap();
  });
}

/** Cost of reading or writing one value, in multiply-adds: such kernels do nothing else. */
const COST_PER_VALUE = 20;

function moving(values: number): Work {
  return { macs: 0, cost: COST_PER_VALUE * values };
}

function buffer(run: GpuRun, { pool, slot }: PlaneRef): GPUBuffer {
  return run.slots[pool][slot]!;
}

/** Values from plane to plane of an activation with `channels` channels. */
function stride({ input, bytesPerValue }: GpuRun, channels: number): number {
  return planeBytes(input.dims, channels, bytesPerValue) / bytesPerValue;
}

/** Voxels of a plane. */
function area({ input }: GpuRun): number {
  return input.dims[0] * input.dims[1];
}

/** Workgroups of 64 for the voxels of a plane, within the default limit of a dispatch. */
function voxelGroups(values: number): number {
  return Math.min(Math.ceil(values / 64), 65535);
}
