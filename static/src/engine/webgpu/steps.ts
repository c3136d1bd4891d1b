// Each kind of step of a plan as GPU commands.
import { macsPerVoxel } from '../graph';
import { fromHalf, toHalf } from '../half';
import type { Plan, PlaneRef, Step } from '../plan';
import type { EngineInput, Graph, Layer, RunOptions } from '../types';
import type { OpenDevice } from './device';
import type { Memory } from './memory';
import { rowGroups } from './pack';
import type { Bindings, Queue } from './queue';
import type { Tunables } from './tunables';

type StepOf<K extends Step['kind']> = Extract<Step, { kind: K }>;

/** One dispatch's share of a layer's output channels. */
export interface Block {
  readonly first: number;
  readonly channels: number;
  readonly pipeline: GPUComputePipeline;
  readonly weights: GPUBuffer | GPUTextureView;
}

export interface LayerResources {
  readonly layer: Layer;
  /** Voxels of one invocation. */
  readonly rows: number;
  readonly columns: number;
  readonly blocks: readonly Block[];
  /** Instance norm only. */
  readonly affine: GPUBuffer | null;
  readonly norm: GPUBuffer | null;
}

/** Everything a step needs. */
export interface Run {
  readonly open: OpenDevice;
  readonly plan: Plan;
  readonly graph: Graph;
  readonly input: EngineInput;
  readonly options: RunOptions;
  readonly bytesPerValue: 4 | 2;
  readonly workgroup: Tunables['workgroup'];
  readonly memory: Memory;
  readonly queue: Queue;
  readonly layers: readonly LayerResources[];
  readonly slots: Readonly<Record<PlaneRef['pool'], readonly GPUBuffer[]>>;
  readonly statistics: GPUBuffer | null;
  readonly classifier: GPUBuffer;
  readonly pipelines: {
    readonly statistics: GPUComputePipeline | null;
    readonly merge: GPUComputePipeline | null;
    readonly normalize: readonly (GPUComputePipeline | null)[];
    readonly classify: GPUComputePipeline | null;
  };
  readonly logits: GPUBuffer | null;
  /** Taken in turns: two submissions may be under way. */
  readonly staging: GPUBuffer[];
  /** Bytes from a label to its margin inside a label slot. */
  readonly marginOffset: number;
  readonly labels: Uint8Array;
  readonly margin: Uint8Array | null;
  readonly inspected: Map<number, Float32Array>;
}

export async function carryOut(run: Run, step: Step): Promise<void> {
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

async function upload(run: Run, { z, planes, at }: StepOf<'upload'>): Promise<void> {
  await run.queue.submit(); // a write to the queue overtakes commands that are recorded but not submitted
  const { plan, graph, input, bytesPerValue, open } = run;
  const [nx, ny, nz] = plan.dims;
  const n = nx * ny;
  const planeValues = plan.planeBytes(graph.inChannels) / bytesPerValue;
  const chunk = bytesPerValue === 2 ? new Uint16Array(planes * planeValues) : new Float32Array(planes * planeValues);
  for (let i = 0; i < planes; i++) {
    for (let c = 0; c < graph.inChannels; c++) {
      const from = (c * nz + z + i) * n;
      const values = input.data.subarray(from, from + n);
      chunk.set(bytesPerValue === 2 ? Uint16Array.from(values, toHalf) : values, i * planeValues + c * n);
    }
  }
  open.device.queue.writeBuffer(buffer(run, at), at.plane * plan.planeBytes(graph.inChannels), chunk);
}

async function conv(run: Run, { layer, planes, inputs, out }: StepOf<'conv'>): Promise<void> {
  const { plan, graph, queue } = run;
  const resources = run.layers[layer]!;
  const { dilation, outChannels } = resources.layer;
  const [nx, ny] = plan.dims;
  const fused = out.pool === 'labels';
  if (fused && out.plane === 0) queue.commands.clearBuffer(buffer(run, out));
  const groups = rowGroups(ny, dilation, resources.rows);
  const planeMacs = nx * ny * (macsPerVoxel(resources.layer) + (fused ? macsPerVoxel(graph.layers.at(-1)!) : 0));
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

function dispatchConv(run: Run, { layer, columns }: LayerResources, block: Block, part: ConvPart): void {
  const { inputs, out, plane, count, group, share, macs } = part;
  const { marginOffset, workgroup, queue } = run;
  const [nx, ny] = run.plan.dims;
  const fused = out.pool === 'labels';
  const inStride = stride(run, layer.inChannels);
  const outStride = fused ? 0 : stride(run, layer.outChannels);
  const windows = inputs.map((ref) => buffer(run, ref ?? inputs[1]!));
  const bindings: Bindings = [[1, windows[0]!], [2, windows[1]!], [3, windows[2]!], [4, block.weights], ...(fused ? [] : [[5, buffer(run, out)] as const])];
  const second: [number, GPUBuffer][] = fused ? [[0, run.classifier], [1, buffer(run, out)]] : [];
  const values = new Uint32Array(16);
  values.set([nx, ny, layer.dilation, inStride], 0);
  values.set(inputs.map((ref) => (ref === null ? 0 : (ref.plane + plane) * inStride)), 4);
  values.set([fused ? 0 : (out.plane + plane) * outStride + block.first * nx * ny], 7);
  values.set([outStride, group, (out.plane + plane) * nx * ny, marginOffset], 8);
  values.set(inputs.map((ref) => (ref === null ? 0 : count)), 12);
  const size: [number, number, number] = [Math.ceil(rowGroups(nx, layer.dilation, columns) / workgroup.x), Math.ceil(share / workgroup.y), count];
  queue.dispatch(block.pipeline, values.buffer, bindings, second, size, macs);
}

async function statistics(run: Run, { layer, z, planes, at }: StepOf<'statistics'>): Promise<void> {
  const { plan, queue, pipelines } = run;
  const channels = run.layers[layer]!.layer.outChannels;
  const values = planeValues(plan);
  await queue.reserve(SMALL * values * channels * planes);
  const uniform = Uint32Array.of(values, channels, at.plane * stride(run, channels), stride(run, channels), z);
  queue.dispatch(pipelines.statistics!, uniform.buffer, [[1, buffer(run, at)], [2, run.statistics!]], [], [1, channels, planes], SMALL * values * channels * planes);
}

async function merge(run: Run, { layer }: StepOf<'merge'>): Promise<void> {
  const { plan, queue, pipelines } = run;
  const { layer: block, affine, norm } = run.layers[layer]!;
  await queue.reserve(1);
  const uniform = new DataView(new ArrayBuffer(16));
  [planeValues(plan), block.outChannels, plan.dims[2]].forEach((value, i) => { uniform.setUint32(4 * i, value, true); });
  uniform.setFloat32(12, block.norm!.eps, true);
  const bindings = [[1, run.statistics!], [2, affine!], [3, norm!]] as const;
  queue.dispatch(pipelines.merge!, uniform.buffer, bindings, [], [Math.ceil(block.outChannels / 64), 1, 1], 1);
}

async function normalize(run: Run, { layer, planes, at }: StepOf<'normalize'>): Promise<void> {
  const { plan, queue, pipelines } = run;
  const channels = run.layers[layer]!.layer.outChannels;
  const values = planeValues(plan);
  const macs = SMALL * values * channels * planes;
  await queue.reserve(macs);
  const uniform = Uint32Array.of(values, at.plane * stride(run, channels), stride(run, channels));
  const bindings = [[1, buffer(run, at)], [2, run.layers[layer]!.norm!]] as const;
  queue.dispatch(pipelines.normalize[layer]!, uniform.buffer, bindings, [], [voxelGroups(values), channels, planes], macs);
}

async function classify(run: Run, { layer, raw, z, planes, at, out }: StepOf<'classify'>): Promise<void> {
  const { plan, graph, queue, pipelines, marginOffset, logits } = run;
  const { layer: block, norm } = run.layers[layer]!;
  const values = planeValues(plan);
  const macs = values * planes * (macsPerVoxel(graph.layers.at(-1)!) + SMALL * block.outChannels);
  await queue.reserve(macs);
  queue.commands.clearBuffer(buffer(run, out));
  const uniform = Uint32Array.of(values, at.plane * stride(run, block.outChannels), stride(run, block.outChannels), out.plane * values, marginOffset);
  const first: [number, GPUBuffer][] = [[1, buffer(run, at)]];
  if (raw) first.push([2, norm!]);
  const second: [number, GPUBuffer][] = [[0, run.classifier], [1, buffer(run, out)]];
  if (logits !== null) second.push([2, logits]);
  queue.dispatch(pipelines.classify!, uniform.buffer, first, second, [voxelGroups(values), 1, planes], macs);
  if (logits === null) return;
  const bytes = planes * graph.classes * values * 4;
  await readBack(run, logits, 0, bytes, (read) => {
    keep(run, graph.layers.length - 1, z, planes, graph.classes, new Float32Array(read), graph.classes * values);
  });
}

async function readLabels(run: Run, { z, planes, at }: StepOf<'labels'>): Promise<void> {
  const values = planeValues(run.plan);
  const bytes = run.margin === null ? planes * values : run.marginOffset + planes * values;
  await readBack(run, buffer(run, at), 0, bytes, (read) => {
    run.labels.set(new Uint8Array(read, 0, planes * values), z * values);
    run.margin?.set(new Uint8Array(read, run.marginOffset, planes * values), z * values);
  });
}

async function readOutput(run: Run, { layer, z, planes, at }: StepOf<'output'>): Promise<void> {
  const channels = run.layers[layer]!.layer.outChannels;
  const planeBytes = run.plan.planeBytes(channels);
  await readBack(run, buffer(run, at), at.plane * planeBytes, planes * planeBytes, (read) => {
    const values = run.bytesPerValue === 2 ? Float32Array.from(new Uint16Array(read), fromHalf) : new Float32Array(read);
    keep(run, layer, z, planes, channels, values, stride(run, channels));
  });
}

/** Collects planes of a layer's output as [channel][z][y][x]; hands it to `inspect` with the last plane. */
function keep(run: Run, layer: number, z: number, planes: number, channels: number, values: Float32Array, planeStride: number): void {
  const [nx, ny, nz] = run.plan.dims;
  const n = nx * ny;
  const whole = run.inspected.get(layer) ?? new Float32Array(channels * nz * n);
  run.inspected.set(layer, whole);
  for (let i = 0; i < planes; i++) {
    for (let c = 0; c < channels; c++) {
      const from = i * planeStride + c * n;
      whole.set(values.subarray(from, from + n), (c * nz + z + i) * n);
    }
  }
  if (z + planes === nz) {
    run.options.inspect?.(layer, whole);
    run.inspected.delete(layer);
  }
}

/** Submits everything recorded, and these bytes of a buffer to be copied out; `use` gets them once they are there. */
async function readBack(run: Run, source: GPUBuffer, offset: number, bytes: number, use: (bytes: ArrayBuffer) => void): Promise<void> {
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

/** A pass that only moves data costs about as much time per value as so many multiply-adds. */
const SMALL = 20;

function buffer(run: Run, { pool, slot }: PlaneRef): GPUBuffer {
  return run.slots[pool][slot]!;
}

/** Values from plane to plane of an activation with so many channels. */
function stride(run: Run, channels: number): number {
  return run.plan.planeBytes(channels) / run.bytesPerValue;
}

function planeValues(plan: Plan): number {
  return plan.dims[0] * plan.dims[1];
}

/** Workgroups of 64 for the voxels of a plane, within the default limit of a dispatch. */
function voxelGroups(values: number): number {
  return Math.min(Math.ceil(values / 64), 65535);
}
