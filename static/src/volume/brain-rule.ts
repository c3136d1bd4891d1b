// The brain rule: lesions that lie mostly outside the brain, and pieces apart from the largest one, are set to
// background. Twin of meshnet/infer/brain_rule.py, which says why; equal voxel by voxel.
import type { ModelSpec } from '../generated/model-spec';
import type { Cleaned } from './clean';
import { largestPiece } from './largest-piece';
import { connectedComponents } from './components';
import { contextIndices, lesionIndices, showsBrain } from './label-roles';
import { crop, forEachRow, regionOf } from './region';
import type { Dims } from './volume';

/** Largest distance along each axis, in voxels, from a component to its surroundings. */
const REACH = 2;

type Described = Pick<ModelSpec, 'task' | 'labels' | 'pieces'>;

/** Labels [z][y][x] on the model's grid without what lies outside the brain by the rule of this model. */
export function withoutPartsOutsideBrain(labels: Uint8Array, dims: Dims, spec: Described): Cleaned {
  if (spec.pieces === 'largest') return largestPiece(labels, dims);
  return showsBrain(spec) ? withoutLesionsOutside(labels, dims, spec) : { labels, removedVoxels: 0 };
}

/**
 * Without the lesion components (voxels sharing a face) of whose surroundings fewer than a third are context.
 * Surroundings: the voxels within REACH voxels that are not lesion.
 */
function withoutLesionsOutside(labels: Uint8Array, dims: Dims, spec: Described): Cleaned {
  const kindOf = kindTable(spec);
  const allKinds = labels.map((label) => kindOf[label]!);
  const box = regionOf(LESION, allKinds, dims, REACH);
  if (box === null) return { labels, removedVoxels: 0 };
  const kinds = crop(allKinds, dims, box);
  const { labels: component, sizes } = connectedComponents(kinds.map((kind) => (kind === LESION ? 1 : 0)), box.dims);
  const outside = lieOutside(kinds, component, sizes, box.dims);
  const kept = labels.slice();
  let removedVoxels = 0;
  forEachRow(dims, box, (at, from) => {
    for (let x = 0; x < box.dims[0]; x++) {
      if (outside[component[from + x]!] === 0) continue;
      kept[at + x] = 0;
      removedVoxels++;
    }
  });
  return { labels: kept, removedVoxels };
}

const LESION = 1;
const CONTEXT = 2;

/** Of every label: LESION, CONTEXT, or 0. */
function kindTable(spec: Described): Uint8Array {
  const kinds = new Uint8Array(256);
  for (const index of contextIndices(spec)) kinds[index] = CONTEXT;
  for (const index of lesionIndices(spec)) kinds[index] = LESION;
  return kinds;
}

/** Of every component from 1: 1 where fewer than a third of its surroundings are context. */
function lieOutside(kinds: Uint8Array, component: Int32Array, sizes: readonly number[], dims: Dims): Uint8Array {
  const [nx, ny, nz] = dims;
  const { voxels, starts } = byComponent(component, sizes);
  const outside = new Uint8Array(1 + sizes.length);
  const counted = new Int32Array(kinds.length); // the component that a voxel was last counted for
  for (let n = 1; n <= sizes.length; n++) {
    let [surroundings, context] = [0, 0];
    for (let v = starts[n - 1]!; v < starts[n]!; v++) {
      const at = voxels[v]!;
      const [x, y, z] = [at % nx, Math.floor(at / nx) % ny, Math.floor(at / (nx * ny))];
      if (isInterior(kinds, at, x, y, z, dims)) continue; // its box lies within the boxes of the component's surface
      const [x0, x1] = [Math.max(0, x - REACH), Math.min(nx - 1, x + REACH)];
      for (let k = Math.max(0, z - REACH); k <= Math.min(nz - 1, z + REACH); k++) {
        for (let j = Math.max(0, y - REACH); j <= Math.min(ny - 1, y + REACH); j++) {
          const row = nx * (j + ny * k);
          for (let m = row + x0; m <= row + x1; m++) {
            if (kinds[m] === LESION || counted[m] === n) continue;
            counted[m] = n;
            surroundings++;
            if (kinds[m] === CONTEXT) context++;
          }
        }
      }
    }
    outside[n] = 3 * context < surroundings ? 1 : 0;
  }
  return outside;
}

/** The voxels of every component in a row: those of component n from starts[n − 1] to starts[n]. */
function byComponent(component: Int32Array, sizes: readonly number[]): { voxels: Int32Array; starts: Int32Array } {
  const starts = new Int32Array(1 + sizes.length);
  for (const [n, size] of sizes.entries()) starts[n + 1] = starts[n]! + size;
  const next = starts.slice();
  const voxels = new Int32Array(starts[sizes.length]!);
  for (let n = 0; n < component.length; n++) if (component[n] !== 0) voxels[next[component[n]! - 1]!++] = n;
  return { voxels, starts };
}

/** Whether all six face neighbours exist and are lesion. */
function isInterior(kinds: Uint8Array, at: number, x: number, y: number, z: number, [nx, ny, nz]: Dims): boolean {
  if (x === 0 || y === 0 || z === 0 || x === nx - 1 || y === ny - 1 || z === nz - 1) return false;
  const plane = nx * ny;
  return kinds[at - 1] === LESION && kinds[at + 1] === LESION && kinds[at - nx] === LESION && kinds[at + nx] === LESION
    && kinds[at - plane] === LESION && kinds[at + plane] === LESION;
}
