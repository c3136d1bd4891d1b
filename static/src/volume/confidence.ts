// The 8-bit probabilities of a run: what a threshold on one label makes of them, and their average with the run on the mirror
// image. docs/engine.md, "Confidence", has the rules; the twin is meshnet/infer/confidence.py.
//
// Probabilities are [class − 1][voxel], 0…255 for 0…1, of the classes 1, 2, …; class 0 has the rest.
import type { Dims } from './volume';

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

/**
 * Labels with a threshold on one of them: `chosen` where its probability is at least `threshold`; elsewhere the label as it
 * is, or where that is `chosen`, the most probable of the others (the lowest of equal ones).
 */
export function thresholded(labels: Uint8Array, probabilities: Uint8Array, chosen: number, threshold: number): Uint8Array {
  const voxels = labels.length;
  const classes = 1 + probabilities.length / voxels;
  const least = leastOf(threshold);
  const out = labels.slice();
  for (let voxel = 0; voxel < voxels; voxel++) {
    if (probabilityAt(probabilities, voxels, voxel, chosen) >= least) out[voxel] = chosen;
    else if (out[voxel] === chosen) out[voxel] = bestOther(probabilities, voxels, voxel, chosen, classes);
  }
  return out;
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
