// The largest piece of all that is labelled: the brain rule of models of one brain. Twin of
// meshnet/infer/largest_piece.py, which says why; equal voxel by voxel.
import type { Cleaned } from './clean';
import { connectedComponents } from './components';
import { crop, forEachRow, regionOf } from './region';
import type { Dims } from './volume';

/** Steps of erosion, from face to face, that tell pieces apart: bridges of up to 4 voxels are cut. */
const THIN = 2;

/**
 * Labels [z][y][x] of the largest piece; the rest is 0. Pieces are told apart after THIN steps of erosion, and the largest
 * grows back by as many steps within the labels. Of equal pieces the first; where erosion leaves nothing, the largest
 * component as it is.
 */
export function largestPiece(labels: Uint8Array, dims: Dims): Cleaned {
  const allLabelled = labels.map((label) => (label > 0 ? 1 : 0));
  const box = regionOf(1, allLabelled, dims, 1);
  if (box === null) return { labels, removedVoxels: 0 };
  const labelled = crop(allLabelled, dims, box);
  const kept = largestOf(labelled, box.dims);
  const out = labels.slice();
  let removedVoxels = 0;
  forEachRow(dims, box, (at, from) => {
    for (let x = 0; x < box.dims[0]; x++) {
      if (labelled[from + x] === kept[from + x]) continue;
      out[at + x] = 0;
      removedVoxels++;
    }
  });
  return { labels: out, removedVoxels };
}

/** The largest piece of a mask that is not empty. */
function largestOf(labelled: Uint8Array, dims: Dims): Uint8Array {
  let core = labelled;
  for (let n = 0; n < THIN; n++) core = eroded(core, dims);
  const thin = core.includes(1) ? THIN : 0;
  const { labels: component, sizes } = connectedComponents(thin > 0 ? core : labelled, dims);
  const largest = 1 + sizes.indexOf(sizes.reduce((most, size) => Math.max(most, size)));
  let kept = new Uint8Array(component.length); // Uint8Array.from with a function is far slower than this loop
  for (let n = 0; n < kept.length; n++) kept[n] = component[n] === largest ? 1 : 0;
  for (let n = 0; n < thin; n++) kept = grown(kept, labelled, dims);
  return kept;
}

/** `mask` without the voxels that have a face neighbour outside it. Voxels beyond the volume count as inside. */
function eroded(mask: Uint8Array, dims: Dims): Uint8Array<ArrayBuffer> {
  const out = mask.slice();
  forEachRowPair(dims, (a, b, length) => {
    for (let n = 0; n < length; n++) {
      out[a + n]! &= mask[b + n]!;
      out[b + n]! &= mask[a + n]!;
    }
  });
  return out;
}

/** `mask` with the face neighbours that `within` has. */
function grown(mask: Uint8Array, within: Uint8Array, dims: Dims): Uint8Array<ArrayBuffer> {
  const out = mask.slice();
  forEachRowPair(dims, (a, b, length) => {
    for (let n = 0; n < length; n++) {
      out[a + n]! |= mask[b + n]! & within[a + n]!;
      out[b + n]! |= mask[a + n]! & within[b + n]!;
    }
  });
  return out;
}

/** Calls `visit` with the places and the length of every two runs of voxels that are face neighbours one by one. */
function forEachRowPair([nx, ny, nz]: Dims, visit: (a: number, b: number, length: number) => void): void {
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      const row = nx * (y + ny * z);
      visit(row, row + 1, nx - 1);
      if (y + 1 < ny) visit(row, row + nx, nx);
      if (z + 1 < nz) visit(row, row + nx * ny, nx);
    }
  }
}
