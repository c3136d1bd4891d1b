// Layers + volume + limits → the list of steps a backend carries out. Pure: no GPU, no memory.
//
// An activation volume is a row of chunks, each P consecutive z-planes in one buffer; one z-plane holds
// all its channels, [z][channel][y][x]. A convolution with dilation d reads only the planes z − d, z and
// z + d, so output chunks are made in ascending z and an input chunk goes back to the pool as soon as no
// later output needs it: the peak is about 1 + (d + P)/nz activation volumes instead of two.
import { checkDims } from './graph';
import { Slots } from './slots';
import type { Graph, Layer } from './types';
import type { Dims } from '../volume/volume';

/** Chunks longer than this save nothing and make the streaming coarser. */
const MAX_PLANES_PER_CHUNK = 16;

/** What WebGPU's bindings are aligned to. */
const PLANE_ALIGN_BYTES = 256;

export interface PlanOptions {
  /** Largest buffer (and binding) allowed, in bytes: the minimum of the device's limits and the caller's. */
  readonly maxBufferBytes: number;
  /** Bytes of one stored activation: 4 (float32) or 2 (float16). */
  readonly bytesPerValue: 4 | 2;
  /** Ask for every layer's output (`output` steps); the classifier is then never fused. */
  readonly inspect?: boolean;
}

/** Pools of equal buffers: the network's input, the activations between layers, and the labels. */
export type PoolName = 'input' | 'activation' | 'labels';

export interface Pool {
  readonly slots: number;
  /** Bytes of each slot's buffer. */
  readonly bytes: number;
}

/** Consecutive planes inside one slot, starting at `plane`. */
export interface PlaneRef {
  readonly pool: PoolName;
  readonly slot: number;
  readonly plane: number;
}

/** `planes` planes of the volume from plane `z` on, and where they lie. */
interface Planes {
  readonly z: number;
  readonly planes: number;
}

export type Step =
  /** Copy input planes (all input channels) into `at`. */
  | (Planes & { readonly kind: 'upload'; readonly at: PlaneRef })
  /**
   * Layer `layer` on output planes z…z+planes−1 from the windows at z − d, z and z + d (null: outside, zero).
   * With `out.pool` = 'labels' this is the fused last block: activations stay in registers, the classifier
   * and argmax follow, and only label (and margin) bytes are written. Otherwise a layer without norm
   * applies its activation, and a layer with norm writes its raw sums.
   */
  | (Planes & {
      readonly kind: 'conv';
      readonly layer: number;
      readonly inputs: readonly [PlaneRef | null, PlaneRef | null, PlaneRef | null];
      readonly out: PlaneRef;
    })
  /** Per-plane mean and sum of squared deviations of a layer's raw output. */
  | (Planes & { readonly kind: 'statistics'; readonly layer: number; readonly at: PlaneRef })
  /** All planes' statistics of the layer → per-channel mean and scale. */
  | { readonly kind: 'merge'; readonly layer: number }
  /** Norm and activation of the layer, in place. */
  | (Planes & { readonly kind: 'normalize'; readonly layer: number; readonly at: PlaneRef })
  /** Last block's stored output → (norm, activation where `raw`) → classifier → argmax → label bytes. */
  | (Planes & {
      readonly kind: 'classify';
      readonly layer: number;
      readonly raw: boolean;
      readonly at: PlaneRef;
      readonly out: PlaneRef;
    })
  /** The label bytes of these planes are complete: fetch them before the slot is written again. */
  | (Planes & { readonly kind: 'labels'; readonly at: PlaneRef })
  /** The layer's final output planes, for `inspect`; valid until the next step. */
  | (Planes & { readonly kind: 'output'; readonly layer: number; readonly at: PlaneRef });

export interface Plan {
  readonly dims: Dims;
  /** Planes per chunk, P. */
  readonly planesPerChunk: number;
  /** Bytes from one z-plane to the next for a volume of so many channels. */
  readonly planeBytes: (channels: number) => number;
  /** Slots to allocate; label slots hold [z][y][x] bytes, one per voxel. */
  readonly pools: Readonly<Record<PoolName, Pool>>;
  readonly steps: readonly Step[];
  /** All pools together, in bytes; weights and staging come on top. */
  readonly peakBytes: number;
}

/** Throws an Error with the numbers where one plane of the widest layer exceeds `maxBufferBytes`. */
export function makePlan(graph: Graph, dims: Dims, options: PlanOptions): Plan {
  const blocks = checkedBlocks(graph);
  const [nx, ny, nz] = dims;
  checkDims(dims);
  const planeBytes = (channels: number) => roundUp(channels * nx * ny * options.bytesPerValue, PLANE_ALIGN_BYTES);
  const widest = Math.max(graph.inChannels, ...blocks.map((block) => block.outChannels));
  const planesPerChunk = choosePlanes(planeBytes(widest), options.maxBufferBytes, nz, dims, widest);

  const inspect = options.inspect ?? false;
  const input = new SlotPool('input');
  const activation = new SlotPool('activation');
  const steps: Step[] = [];
  let source = new Map<number, number>(); // chunk → slot of the layer's input
  for (const layer of blocks.keys()) {
    const sourcePool = layer === 0 ? input : activation;
    source = planLayer(blocks, layer, { nz, planesPerChunk, inspect, sourcePool, activation, steps }, source);
  }
  const last = blocks.length - 1;
  if (!fuses(blocks, last, inspect)) planClassifier(blocks, { nz, planesPerChunk, activation, steps }, source);

  const widestActivation = Math.max(...blocks.map((block) => block.outChannels));
  const pools = {
    input: { slots: input.size, bytes: planesPerChunk * planeBytes(graph.inChannels) },
    activation: { slots: activation.size, bytes: planesPerChunk * planeBytes(widestActivation) },
    labels: { slots: 1, bytes: roundUp(planesPerChunk * nx * ny, 4) },
  };
  const peakBytes = Object.values(pools).reduce((sum, pool) => sum + pool.slots * pool.bytes, 0);
  return { dims, planesPerChunk, planeBytes, pools, steps, peakBytes };
}

/** The graph without its classifier; throws where it is not a chain of 3×3×3 layers and a 1×1×1 classifier. */
export function checkedBlocks(graph: Graph): readonly Layer[] {
  const blocks = graph.layers.slice(0, -1);
  const classifier = graph.layers.at(-1);
  if (classifier?.kernelSize !== 1 || blocks.length === 0 || blocks.some((block) => block.kernelSize !== 3)) {
    const kernels = graph.layers.map((layer) => layer.kernelSize).join(', ');
    throw new Error(`graph: expected 3×3×3 layers and a last 1×1×1 classifier, got kernel sizes ${kernels || 'none'}`);
  }
  return blocks;
}

function choosePlanes(planeBytes: number, maxBufferBytes: number, nz: number, dims: Dims, channels: number): number {
  if (planeBytes > maxBufferBytes) {
    throw new Error(
      `volume ${dims.join(' × ')}: one z-plane of ${channels} channels takes ${planeBytes} bytes, ` +
        `this device allows ${maxBufferBytes} per buffer; use a smaller volume or a narrower model`,
    );
  }
  let planes = 1;
  while (planes < MAX_PLANES_PER_CHUNK && planes < nz && 2 * planes * planeBytes <= maxBufferBytes) planes *= 2;
  return planes;
}

/** The classifier is fused into the last block unless its norm needs the whole volume first. */
export function fuses(blocks: readonly Layer[], layer: number, inspect: boolean): boolean {
  return layer === blocks.length - 1 && blocks[layer]!.norm === null && !inspect;
}

interface LayerContext {
  readonly nz: number;
  readonly planesPerChunk: number;
  readonly inspect: boolean;
  readonly sourcePool: SlotPool;
  readonly activation: SlotPool;
  readonly steps: Step[];
}

/** Appends the layer's steps; returns where its output chunks lie. Empties `source` into its pool. */
function planLayer(blocks: readonly Layer[], layer: number, context: LayerContext, source: Map<number, number>): Map<number, number> {
  const { nz, planesPerChunk: P, inspect, sourcePool, activation, steps } = context;
  const { dilation, norm } = blocks[layer]!;
  const fused = fuses(blocks, layer, inspect);
  const target = new Map<number, number>();
  const isInput = sourcePool.name === 'input';
  const windowAt = (z: number): PlaneRef | null => {
    if (z < 0 || z >= nz) return null;
    const chunk = Math.floor(z / P);
    let slot = source.get(chunk);
    if (slot === undefined && isInput) {
      slot = sourcePool.take();
      source.set(chunk, slot);
      const at: PlaneRef = { pool: 'input', slot, plane: 0 };
      steps.push({ kind: 'upload', z: chunk * P, planes: Math.min(P, nz - chunk * P), at });
    }
    if (slot === undefined) throw new Error(`planner: plane ${z} of the input of layer ${layer} was already recycled`);
    return { pool: sourcePool.name, slot, plane: z % P };
  };

  for (let start = 0; start < nz; start += P) {
    const end = Math.min(start + P, nz);
    const pool = fused ? 'labels' : 'activation';
    const slot = fused ? 0 : activation.take();
    if (!fused) target.set(start / P, slot);
    for (const [a, b] of batches(start, end, dilation, nz, P)) {
      const inputs = [windowAt(a - dilation), windowAt(a), windowAt(a + dilation)] as const;
      steps.push({ kind: 'conv', layer, z: a, planes: b - a, inputs, out: { pool, slot, plane: a - start } });
    }
    const whole = { z: start, planes: end - start, at: { pool, slot, plane: 0 } } as const;
    if (fused) steps.push({ kind: 'labels', ...whole });
    else if (norm !== null) steps.push({ kind: 'statistics', layer, ...whole });
    else if (inspect) steps.push({ kind: 'output', layer, ...whole });
    for (const [chunk, inputSlot] of source) {
      if (lastUse(chunk, dilation, nz, P) <= end) {
        sourcePool.give(inputSlot);
        source.delete(chunk);
      }
    }
  }
  if (norm !== null) planNorm(blocks, layer, context, target);
  return target;
}

/** Norm and activation in place, once all statistics are known; the last block leaves it to the classifier. */
function planNorm(blocks: readonly Layer[], layer: number, context: LayerContext, target: ReadonlyMap<number, number>): void {
  const { nz, planesPerChunk: P, inspect, steps } = context;
  steps.push({ kind: 'merge', layer });
  if (layer === blocks.length - 1 && !inspect) return;
  for (const [chunk, slot] of target) {
    const z = chunk * P;
    const whole = { z, planes: Math.min(P, nz - z), at: { pool: 'activation', slot, plane: 0 } } as const;
    steps.push({ kind: 'normalize', layer, ...whole });
    if (inspect) steps.push({ kind: 'output', layer, ...whole });
  }
}

function planClassifier(blocks: readonly Layer[], context: Omit<LayerContext, 'inspect' | 'sourcePool'>, source: ReadonlyMap<number, number>): void {
  const { nz, planesPerChunk: P, steps } = context;
  const layer = blocks.length - 1;
  const raw = blocks[layer]!.norm !== null && !steps.some((step) => step.kind === 'normalize' && step.layer === layer);
  for (const [chunk, slot] of source) {
    const z = chunk * P;
    const planes = Math.min(P, nz - z);
    const out: PlaneRef = { pool: 'labels', slot: 0, plane: 0 };
    steps.push({ kind: 'classify', layer, raw, z, planes, at: { pool: 'activation', slot, plane: 0 }, out });
    steps.push({ kind: 'labels', z, planes, at: out });
  }
}

/** Output planes [start, end) cut so that each of the windows at −d, 0, +d lies in one chunk or outside. */
export function batches(start: number, end: number, dilation: number, nz: number, planesPerChunk: number): [number, number][] {
  const P = planesPerChunk;
  const cuts = [start];
  for (let z = start + 1; z < end; z++) {
    if ((z - dilation) % P === 0 || (z + dilation) % P === 0 || z + dilation === nz) cuts.push(z);
  }
  return cuts.map((cut, i) => [cut, cuts[i + 1] ?? end]);
}

/** One past the last output plane that reads input chunk `chunk`. */
function lastUse(chunk: number, dilation: number, nz: number, P: number): number {
  const first = chunk * P;
  return Math.min(first + P + (first + dilation < nz ? dilation : 0), nz);
}

class SlotPool extends Slots {
  constructor(readonly name: 'input' | 'activation') {
    super();
  }
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
