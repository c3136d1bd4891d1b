// A network's layers as WebGL2 carries them out: plane by plane, in the residue classes of the dilation. Pure.
//
// Every z-plane is a texture of its own. A convolution with dilation d ties z only to z − d and z + d, so a layer visits z = r, r + d, r + 2d, …
// for r = 0 … d − 1: several of these at once share what they read, and a plane read for the last time goes back to the pool at once.
// The peak is one activation volume and a few planes, whatever the dilation.
import { checkedBlocks } from '../plan';
import { Slots } from '../slots';
import type { Graph } from '../types';

export interface PlaneAt {
  readonly z: number;
  readonly slot: number;
}

export type Step =
  /** Copy an input plane (all input channels) into its slot of the input pool. */
  | (PlaneAt & { readonly kind: 'upload' })
  /**
   * Layer `layer` on planes z, z + d, …; `inputs` are the slots of z − d, z, z + d, …, two more than `outs` (null: outside, zero).
   * A layer without norm applies its activation, a layer with norm writes its raw sums.
   */
  | { readonly kind: 'conv'; readonly layer: number; readonly inputs: readonly (number | null)[]; readonly outs: readonly PlaneAt[] }
  /** Row statistics of a layer's raw output. */
  | (PlaneAt & { readonly kind: 'statistics'; readonly layer: number })
  /** All planes' statistics of the layer → per-channel mean and scale. */
  | { readonly kind: 'merge'; readonly layer: number }
  /** Norm and activation of the layer; the slot then holds the result. */
  | (PlaneAt & { readonly kind: 'normalize'; readonly layer: number })
  /** The last block's output → (norm, activation where `raw`) → classifier → argmax → label bytes. */
  | (PlaneAt & { readonly kind: 'classify'; readonly layer: number; readonly raw: boolean })
  /** The layer's final output, for `inspect`; valid until the next step. */
  | (PlaneAt & { readonly kind: 'output'; readonly layer: number });

export interface Plan {
  readonly steps: readonly Step[];
  /** Planes that exist at once. */
  readonly slots: { readonly input: number; readonly activation: number };
}

export interface PlanOptions {
  /** Most planes that one convolution of a layer computes. */
  readonly planesOf: (layer: number) => number;
  readonly inspect: boolean;
}

/** Throws an Error where the graph is not a chain of 3×3×3 layers and a 1×1×1 classifier. */
export function makePlan(graph: Graph, nz: number, { planesOf, inspect }: PlanOptions): Plan {
  const blocks = checkedBlocks(graph);
  const input = new Slots();
  const activation = new Slots();
  const steps: Step[] = [];
  let source = new Map<number, number>(); // z → slot of the layer's input
  for (const [layer, { dilation, norm }] of blocks.entries()) {
    const last = layer === blocks.length - 1;
    const pool = layer === 0 ? input : activation;
    const target = new Map<number, number>();
    const read = (z: number): number | null => {
      if (z < 0 || z >= nz) return null;
      let slot = source.get(z);
      if (slot === undefined) {
        if (layer > 0) throw new Error(`planner: plane ${z} of the input of layer ${layer} was already recycled`);
        slot = pool.take();
        source.set(z, slot);
        steps.push({ kind: 'upload', z, slot });
      }
      return slot;
    };
    const finished = (z: number, slot: number, raw: boolean): void => {
      if (inspect && !raw) steps.push({ kind: 'output', layer, z, slot });
      if (!last) return;
      steps.push({ kind: 'classify', layer, raw, z, slot });
      activation.give(slot);
    };

    for (const { zs, doneBefore } of blocksOf(nz, dilation, planesOf(layer))) {
      const first = zs[0]!;
      const inputs = Array.from({ length: zs.length + 2 }, (_, k) => read(first + (k - 1) * dilation));
      const outs = zs.map((z) => ({ z, slot: activation.take() }));
      steps.push({ kind: 'conv', layer, inputs, outs });
      for (let z = first - dilation; z < Math.min(doneBefore, nz); z += dilation) {
        if (!source.has(z)) continue;
        pool.give(source.get(z)!);
        source.delete(z);
      }
      for (const { z, slot } of outs) {
        target.set(z, slot);
        if (norm === null) finished(z, slot, false);
        else steps.push({ kind: 'statistics', layer, z, slot });
      }
    }
    if (norm !== null) {
      steps.push({ kind: 'merge', layer });
      const raw = last && !inspect; // the classifier then normalises what it reads
      for (const [z, slot] of target) {
        if (!raw) steps.push({ kind: 'normalize', layer, z, slot });
        finished(z, slot, raw);
      }
    }
    source = target;
  }
  return { steps, slots: { input: input.size, activation: activation.size } };
}

/** Output planes in the order of residue classes, up to `most` at once; nothing reads planes of the class before `doneBefore` any more. */
export function blocksOf(nz: number, dilation: number, most: number): { zs: number[]; doneBefore: number }[] {
  const blocks: { zs: number[]; doneBefore: number }[] = [];
  for (let residue = 0; residue < Math.min(dilation, nz); residue++) {
    for (let start = residue; start < nz; start += most * dilation) {
      const length = Math.min(most, Math.ceil((nz - start) / dilation));
      const next = start + length * dilation;
      const zs = Array.from({ length }, (_, k) => start + k * dilation);
      blocks.push({ zs, doneBefore: next < nz ? next - dilation : nz });
    }
  }
  return blocks;
}
