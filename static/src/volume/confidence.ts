// The 8-bit probabilities of a run: what a threshold on one label makes of them, and their average with the run on the mirror
// image. docs/engine.md, "Confidence", has the rules; the twin is meshnet/infer/confidence.py.
//
// Probabilities are [class − 1][voxel], 0…255 for 0…1, of the classes 1, 2, …; class 0 has the rest.
import type { ModelSpec } from '../generated/model-spec';
import { lesionIndices } from './label-roles';
import type { Dims } from './volume';

/** Models with more classes have no probabilities kept: 256³ voxels take 16 MiB per class. */
export const MOST_CLASSES = 8;

/** Words in a label's name that say a side: Left-Thalamus, ctx-lh-cuneus. */
const SIDES = new Set(['left', 'right', 'lh', 'rh', 'l', 'r']);

type Described = Pick<ModelSpec, 'task' | 'labels'>;

/** The label that a threshold and a probability map are about: the lesion, or the second label of two; null if there is none. */
export function chosenLabel(spec: Described): number | null {
  const lesions = lesionIndices(spec);
  if (lesions.length === 1) return lesions[0]!;
  return spec.labels.length === 2 ? 1 : null;
}

/** Whether the confidence of this model's results can be kept. */
export function hasConfidence(spec: Described): boolean {
  return spec.labels.length <= MOST_CLASSES && chosenLabel(spec) !== null;
}

/** Throws an Error with a sentence where the model cannot be averaged with the mirror image. */
export function checkMirror(spec: Described & Pick<ModelSpec, 'name'>): void {
  const untick = 'untick Average with the mirror image';
  if (spec.labels.length > MOST_CLASSES) throw new Error(`${spec.name} has ${spec.labels.length} labels, averaging takes models of up to ${MOST_CLASSES}; ${untick}`);
  const sided = spec.labels.find(({ name }) => name.toLowerCase().split(/[^a-z]+/).some((word) => SIDES.has(word)));
  if (sided !== undefined) throw new Error(`The labels of ${spec.name} have sides (${sided.name}), and the mirror image exchanges them; ${untick}`);
}

/** The axis of an orientation such as LIA that runs from side to side. */
export function mirrorAxis(orientation: string): number {
  return Array.from(orientation).findIndex((letter) => 'LR'.includes(letter));
}

/** The probability of `label` at a voxel, 0…255. */
export function probabilityAt(probabilities: Uint8Array, voxels: number, voxel: number, label: number): number {
  if (label > 0) return probabilities[(label - 1) * voxels + voxel]!;
  let rest = 255;
  for (let at = voxel; at < probabilities.length; at += voxels) rest -= probabilities[at]!;
  return Math.max(rest, 0);
}

/** The volume of one label, 0…255; a copy. */
export function probabilityOf(probabilities: Uint8Array, voxels: number, label: number): Uint8Array {
  if (label > 0) return probabilities.slice((label - 1) * voxels, label * voxels);
  return Uint8Array.from({ length: voxels }, (_, voxel) => probabilityAt(probabilities, voxels, voxel, 0));
}

/** The smallest 8-bit probability that a threshold 0…1 lets pass. */
export function leastOf(threshold: number): number {
  return Math.ceil(255 * threshold);
}

/** The labels with the most probable of the others (the lowest of equal ones) in the place of `chosen`. */
export function othersOf(labels: Uint8Array, probabilities: Uint8Array, chosen: number): Uint8Array {
  const voxels = labels.length;
  const classes = 1 + probabilities.length / voxels;
  const out = labels.slice();
  for (let voxel = 0; voxel < voxels; voxel++) {
    if (out[voxel] === chosen) out[voxel] = bestOther(probabilities, voxels, voxel, chosen, classes);
  }
  return out;
}

/** Labels with a threshold on one of them: `chosen` where its probability is at least `threshold`, `others` elsewhere. */
export function thresholded(others: Uint8Array, probability: Uint8Array, chosen: number, threshold: number): Uint8Array {
  const least = leastOf(threshold);
  return others.map((other, voxel) => (probability[voxel]! >= least ? chosen : other));
}

function bestOther(probabilities: Uint8Array, voxels: number, voxel: number, chosen: number, classes: number): number {
  let best = -1;
  let label = 0;
  for (let k = 0; k < classes; k++) {
    if (k === chosen) continue;
    const p = probabilityAt(probabilities, voxels, voxel, k);
    if (p > best) [best, label] = [p, k];
  }
  return label;
}

/** The volumes of `data` ([volume][z][y][x], each of `dims`) reversed along one axis (0: x, 1: y, 2: z); a copy. */
export function mirrored<T extends Float32Array | Uint8Array>(data: T, dims: Dims, axis: number): T {
  const out = data.slice() as T;
  const stride = axis === 0 ? 1 : axis === 1 ? dims[0] : dims[0] * dims[1];
  const n = dims[axis]!;
  const block = stride * n;
  for (let start = 0; start < data.length; start += block) {
    for (let i = 0; i < n; i++) {
      const from = start + (n - 1 - i) * stride;
      out.set(data.subarray(from, from + stride), start + i * stride);
    }
  }
  return out;
}

/**
 * Mean of two runs, in place of the first: each probability is ⌊(a + b)/2⌋, the label the class with the largest a + b (the
 * lowest of equal ones). Both are on the same grid.
 */
export function averageInto(labels: Uint8Array, a: Uint8Array, b: Uint8Array): void {
  const voxels = labels.length;
  for (let voxel = 0; voxel < voxels; voxel++) {
    let rest = 510;
    let best = -1;
    let label = 0;
    for (let at = voxel, k = 1; at < a.length; at += voxels, k++) {
      const sum = a[at]! + b[at]!;
      rest -= sum;
      if (sum > best) [best, label] = [sum, k];
      a[at] = sum >> 1;
    }
    labels[voxel] = rest >= best ? 0 : label;
  }
}
