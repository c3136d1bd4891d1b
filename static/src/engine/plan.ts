// Layers + depth of the volume → the steps that a GPU engine carries out, and the memory slots they use. Pure: no GPU.
//
// A volume of activations is a row of chunks, each of `planesPerChunk` consecutive z-planes in one slot of a pool. The
// two GPU engines differ in data only: planes per chunk, bytes per slot, the walk (walks.ts) and the fused end.
import { checkDims, convolutionsOf, fusesClassifier } from './graph';
import { Slots } from './slots';
import type { Graph } from './types';
import type { Walk } from './walks';
import type { Dims } from '../volume/volume';

/** Pools of equal slots: the network's input, the activations between layers, and the labels (one slot). */
export type PoolName = 'input' | 'activation' | 'labels';

export interface Pool {
  readonly slots: number;
  readonly bytesPerSlot: number;
}

export interface PlanOptions {
  readonly planesPerChunk: number;
  /** Planes that the label slot holds, at least `planesPerChunk`. It is read back when no further chunk fits. */
  readonly labelPlanes: number;
  readonly bytesPerSlot: Readonly<Record<PoolName, number>>;
  readonly walk: Walk;
  /** The engine's last convolution can classify in registers; it does where it has no norm and nothing is inspected. */
  readonly fusedEnd: boolean;
  /** Ask for every layer's output (`output` steps). */
  readonly inspect: boolean;
}

/** Consecutive planes inside one slot, from `plane` on. */
export interface PlaneRef {
  readonly pool: PoolName;
  readonly slot: number;
  readonly plane: number;
}

/** The volume's planes z … z + planes − 1, and where they lie. */
export interface Planes {
  readonly z: number;
  readonly planes: number;
  readonly at: PlaneRef;
}

export type Step =
  /** Copy input planes (all input channels) to `at`. */
  | (Planes & { readonly kind: 'upload' })
  /**
   * Layer `layer` on runs of `planes` output planes that begin at z, z + d, z + 2d, …: outs[k] is run k. The run at
   * z + (k − 1)·d of the layer's input is inputs[k] (null: outside the volume, zero), so there are two more inputs than outs.
   * Outs in the pool `labels`: the fused end; activation, classifier and argmax follow in registers. Otherwise a layer
   * without norm applies its activation, and a layer with norm writes its raw sums.
   */
  | {
      readonly kind: 'conv';
      readonly layer: number;
      readonly z: number;
      readonly planes: number;
      readonly inputs: readonly (PlaneRef | null)[];
      readonly outs: readonly PlaneRef[];
    }
  /** Statistics of a layer's raw sums on these planes. */
  | (Planes & { readonly kind: 'statistics'; readonly layer: number })
  /** The statistics of all planes of the layer → per-channel mean and scale. */
  | { readonly kind: 'merge'; readonly layer: number }
  /** Norm and activation of the layer; the planes then hold the result. */
  | (Planes & { readonly kind: 'normalize'; readonly layer: number })
  /** Stored output of the last convolution, `layer` → (norm and activation where `raw`) → classifier → argmax → `out`. */
  | (Planes & { readonly kind: 'classify'; readonly layer: number; readonly raw: boolean; readonly out: PlaneRef })
  /** The labels of these planes are complete: read them back before the slot is written again. */
  | { readonly kind: 'labels'; readonly parts: readonly Planes[] }
  /** The layer's final output planes, for `inspect`; valid until the next step. */
  | (Planes & { readonly kind: 'output'; readonly layer: number });

export type StepOf<K extends Step['kind']> = Extract<Step, { kind: K }>;

export interface Plan {
  readonly planesPerChunk: number;
  readonly labelPlanes: number;
  readonly pools: Readonly<Record<PoolName, Pool>>;
  readonly steps: readonly Step[];
  /** All pools together, in bytes; weights, staging and what else an engine keeps come on top. */
  readonly peakBytes: number;
}

/** Throws an Error where the graph is not a chain of 3×3×3 layers and a 1×1×1 classifier, or `dims` no positive integers. */
export function makePlan(graph: Graph, dims: Dims, options: PlanOptions): Plan {
  checkDims(dims);
  const planner = new Planner(graph, dims[2], options);
  const steps = planner.all();
  const { input, activation } = planner.pools;
  const slots = { input: input.size, activation: activation.size, labels: 1 };
  const pool = (name: PoolName): Pool => ({ slots: slots[name], bytesPerSlot: options.bytesPerSlot[name] });
  const pools = { input: pool('input'), activation: pool('activation'), labels: pool('labels') };
  const peakBytes = Object.values(pools).reduce((sum, { slots, bytesPerSlot }) => sum + slots * bytesPerSlot, 0);
  const { planesPerChunk, labelPlanes } = options;
  return { planesPerChunk, labelPlanes, pools, steps, peakBytes };
}

/** Slot of each chunk that exists. */
type Chunks = Map<number, number>;

class Planner {
  readonly pools = { input: new Slots(), activation: new Slots() };
  private readonly convolutions;
  private readonly fused: boolean;
  private readonly steps: Step[] = [];
  /** Planes of labels in the label slot that were not read back. */
  private labels: Planes[] = [];

  constructor(graph: Graph, private readonly nz: number, private readonly options: PlanOptions) {
    this.convolutions = convolutionsOf(graph);
    this.fused = options.fusedEnd && fusesClassifier(graph, options.inspect);
  }

  all(): readonly Step[] {
    let source: Chunks = new Map();
    for (const layer of this.convolutions.keys()) source = this.planLayer(layer, source);
    this.readLabels();
    return this.steps;
  }

  /** Appends the layer's steps; returns where its output lies. Gives the slots of `source` back. */
  private planLayer(layer: number, source: Chunks): Chunks {
    const { steps, nz, pools } = this;
    const { walk, planesPerChunk } = this.options;
    const { dilation, norm } = this.convolutions[layer]!;
    const fused = this.fused && this.isLast(layer);
    const target: Chunks = new Map();
    for (const { convs, chunks, released } of walk({ index: layer, dilation }, nz, planesPerChunk)) {
      const labels = fused ? chunks.map((chunk) => this.placeLabels(chunk)) : [];
      if (!fused) for (const chunk of chunks) target.set(chunk, pools.activation.take());
      const write = (z: number): PlaneRef => {
        const chunk = Math.floor(z / planesPerChunk);
        const { pool, slot, plane } = fused ? labels[chunks.indexOf(chunk)]! : this.at('activation', target.get(chunk)!);
        return { pool, slot, plane: plane + (z % planesPerChunk) };
      };
      for (const { z, planes, runs } of convs) {
        const inputs = Array.from({ length: runs + 2 }, (_, k) => this.read(layer, source, z + (k - 1) * dilation));
        const outs = Array.from({ length: runs }, (_, k) => write(z + k * dilation));
        steps.push({ kind: 'conv', layer, z, planes, inputs, outs });
      }
      for (const chunk of released) {
        pools[layer === 0 ? 'input' : 'activation'].give(source.get(chunk)!);
        source.delete(chunk);
      }
      if (fused) this.readFullLabels();
      for (const [chunk, slot] of fused ? [] : chunks.map((chunk) => [chunk, target.get(chunk)!] as const)) {
        if (norm === null) this.finish(layer, chunk, slot, false);
        else steps.push({ kind: 'statistics', layer, ...this.planesOf(chunk, this.at('activation', slot)) });
      }
    }
    if (norm !== null) this.planNorm(layer, target);
    return target;
  }

  /** Where plane z of the layer's input lies, from where the chunk goes on; uploads the network's input when it is first read. */
  private read(layer: number, source: Chunks, z: number): PlaneRef | null {
    if (z < 0 || z >= this.nz) return null;
    const { planesPerChunk } = this.options;
    const pool = layer === 0 ? 'input' : 'activation';
    const chunk = Math.floor(z / planesPerChunk);
    let slot = source.get(chunk);
    if (slot === undefined) {
      if (pool !== 'input') throw new Error(`planner: plane ${z} of the input of layer ${layer} was already recycled`);
      slot = this.pools.input.take();
      source.set(chunk, slot);
      this.steps.push({ kind: 'upload', ...this.planesOf(chunk, this.at(pool, slot)) });
    }
    return { pool, slot, plane: z % planesPerChunk };
  }

  /** Norm and activation once all statistics are known; after the last layer the classifier applies them, unless inspected. */
  private planNorm(layer: number, target: Chunks): void {
    this.steps.push({ kind: 'merge', layer });
    const raw = this.isLast(layer) && !this.options.inspect;
    for (const [chunk, slot] of target) {
      if (!raw) this.steps.push({ kind: 'normalize', layer, ...this.planesOf(chunk, this.at('activation', slot)) });
      this.finish(layer, chunk, slot, raw);
    }
  }

  /** Hands a chunk of a layer's output to `inspect`; one of the last layer also to the classifier, which gives its slot back. */
  private finish(layer: number, chunk: number, slot: number, raw: boolean): void {
    const planes = this.planesOf(chunk, this.at('activation', slot));
    if (this.options.inspect && !raw) this.steps.push({ kind: 'output', layer, ...planes });
    if (!this.isLast(layer)) return;
    this.steps.push({ kind: 'classify', layer, raw, ...planes, out: this.placeLabels(chunk) });
    this.pools.activation.give(slot);
    this.readFullLabels();
  }

  private placeLabels(chunk: number): PlaneRef {
    const at = { pool: 'labels', slot: 0, plane: this.labelsHeld() } as const;
    this.labels.push(this.planesOf(chunk, at));
    return at;
  }

  private readFullLabels(): void {
    if (this.labelsHeld() + this.options.planesPerChunk > this.options.labelPlanes) this.readLabels();
  }

  private readLabels(): void {
    if (this.labels.length > 0) this.steps.push({ kind: 'labels', parts: this.labels });
    this.labels = [];
  }

  private labelsHeld(): number {
    return this.labels.reduce((sum, { planes }) => sum + planes, 0);
  }

  private planesOf(chunk: number, at: PlaneRef): Planes {
    const z = chunk * this.options.planesPerChunk;
    return { z, planes: Math.min(this.options.planesPerChunk, this.nz - z), at };
  }

  private at(pool: PoolName, slot: number): PlaneRef {
    return { pool, slot, plane: 0 };
  }

  private isLast(layer: number): boolean {
    return layer === this.convolutions.length - 1;
  }
}
