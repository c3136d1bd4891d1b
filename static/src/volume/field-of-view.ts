// Sides on which a scan's field of view cuts the head. Twin of meshnet/scan/field_of_view.py; docs/inputs.md has the rule,
// and what it says of real scans. A whole head ends gradually: its outermost plane is small. Where the field of view cuts
// it, the outermost plane is large.
import { LARGEST_ML, PLANE_SHARE, SMALLEST_ML } from './head';
import { note, type CutSide, type Note } from './notes';
import type { Affine, Dims, Volume, VoxelArray } from './volume';

/** The head is cut on a side where its outermost plane has this share of the tissue of the fullest parallel plane. */
const CUT_SHARE = 0.3;
/** A cut through the neck is normal. One at the inferior side counts where less than this height is in view. */
const WHOLE_BRAIN_MM = 110;
/** Sides in the order of the note, and those at the start and end of each RAS axis. */
const SIDES: readonly CutSide[] = ['superior', 'inferior', 'anterior', 'posterior', 'left', 'right'];
const ENDS_OF_AXIS: readonly (readonly [CutSide, CutSide])[] = [['left', 'right'], ['posterior', 'anterior'], ['inferior', 'superior']];

/** A note of the sides on which the head, the voxels above `threshold`, is cut. A volume that can't be a head's has another note. */
export function cutNotes({ data, dims, affineVox2ras }: Volume, threshold: number, headMl: number): Note[] {
  if (!(headMl >= SMALLEST_ML && headMl <= LARGEST_ML)) return [];
  const cuts = new Map<CutSide, number>();
  countsOfPlanes(data, dims, threshold).forEach((counts, axis) => {
    const most = counts.reduce((sum, count) => Math.max(sum, count), 0);
    const [first, last] = [counts.findIndex((count) => count >= PLANE_SHARE * most), counts.findLastIndex((count) => count >= PLANE_SHARE * most)];
    const direction = directionOf(affineVox2ras, axis);
    const heightMm = (last - first + 1) * Math.hypot(...direction);
    const rasAxis = direction.map(Math.abs).reduce((best, size, n, sizes) => (size > sizes[best]! ? n : best), 0);
    const [start, end] = ENDS_OF_AXIS[rasAxis]!;
    const sides = direction[rasAxis]! > 0 ? [start, end] : [end, start];
    [first, last].forEach((plane, n) => {
      const [side, share] = [sides[n]!, counts[plane]! / most];
      if (share >= CUT_SHARE && (side !== 'inferior' || heightMm < WHOLE_BRAIN_MM)) cuts.set(side, Math.max(share, cuts.get(side) ?? 0));
    });
  });
  return cuts.size === 0 ? [] : [note('head-cut', SIDES.flatMap((side) => (cuts.has(side) ? [[side, cuts.get(side)!] as const] : [])))];
}

/** Column of the affine: one step along this axis in mm, RAS. */
function directionOf(affineVox2ras: Affine, axis: number): [number, number, number] {
  return [affineVox2ras[axis]!, affineVox2ras[4 + axis]!, affineVox2ras[8 + axis]!];
}

/** Number of head voxels in every plane of each axis. */
function countsOfPlanes(data: VoxelArray, [nx, ny, nz]: Dims, threshold: number): Float64Array[] {
  const [inX, inY, inZ] = [new Float64Array(nx), new Float64Array(ny), new Float64Array(nz)];
  let n = 0;
  for (let k = 0; k < nz; k++) {
    for (let j = 0; j < ny; j++) {
      let row = 0;
      for (let i = 0; i < nx; i++, n++) {
        if (!(data[n]! > threshold)) continue;
        inX[i]!++;
        row++;
      }
      inY[j]! += row;
      inZ[k]! += row;
    }
  }
  return [inX, inY, inZ];
}
