// Filling between slices: shape-based interpolation of signed distances (Raya and Udupa 1990, doi:10.1109/42.52980), outline by
// outline as in morphological contour interpolation, so that another lesion in the slices between is no obstacle.
import { voxelSizeMm } from './affine';
import type { Axis, Grid } from './brush';
import { connectedComponents } from './components';
import { transformLine } from './surface-distance';

/**
 * Indices of the voxels that fill the gaps of `mask` (voxels not 0) along `axis`. A gap lies between an outline (pixels
 * connected within a slice) that has no mask voxel behind it in the next slice, and the nearest slice where the mask lies behind it
 * again. It is filled only where one of both outlines has a voxel of `painted`. In-plane axes are taken as perpendicular.
 */
export function voxelsBetweenSlices(mask: Uint8Array, painted: Uint8Array, grid: Grid, axis: Axis): number[] {
  const stack = stackAlong(grid, axis);
  const slices = Array.from({ length: stack.count }, (_, s) => outlinesOf(mask, stack, s));
  const added = new Set<number>();
  for (const direction of [1, -1]) {
    for (let s = 0; s < stack.count; s++) {
      for (const outline of slices[s]!) {
        const gap = gapBehind(slices, outline, s, direction);
        if (gap === null) continue;
        const { end, across } = gap;
        const isPainted = (shape: readonly number[], slice: number): boolean => shape.some((pixel) => painted[stack.at(pixel, slice)] !== 0);
        if (!isPainted(outline, s) && !across.some((other) => isPainted(other, end))) continue;
        fillGap(stack, [outline, s], [across.flat(), end], (voxel) => { if (mask[voxel] === 0) added.add(voxel); });
      }
    }
  }
  return [...added].sort((a, b) => a - b);
}

/** The slices of a volume along one axis. */
interface Stack {
  readonly count: number;
  /** Pixels of a slice along its two axes. */
  readonly size: readonly [number, number];
  readonly pixelMm: readonly [number, number];
  /** Voxel of a slice's pixel. */
  readonly at: (pixel: number, slice: number) => number;
}

/** Pixels of an outline and what it encloses, ascending. */
type Outline = readonly number[];

function stackAlong({ dims, affineVox2ras }: Grid, axis: Axis): Stack {
  const strides = [1, dims[0], dims[0] * dims[1]];
  const [u, v] = [0, 1, 2].filter((other) => other !== axis) as [Axis, Axis];
  const sizeMm = voxelSizeMm(affineVox2ras);
  const at = (pixel: number, slice: number): number => (pixel % dims[u]) * strides[u]! + Math.floor(pixel / dims[u]) * strides[v]! + slice * strides[axis]!;
  return { count: dims[axis], size: [dims[u], dims[v]], pixelMm: [sizeMm[u], sizeMm[v]], at };
}

/** Connected shapes (pixels sharing an edge) of one slice. */
function outlinesOf(mask: Uint8Array, { size: [nu, nv], at }: Stack, slice: number): Outline[] {
  const pixels = Uint8Array.from({ length: nu * nv }, (_, pixel) => mask[at(pixel, slice)]!);
  if (pixels.every((value) => value === 0)) return [];
  const { labels, sizes } = connectedComponents(pixels, [nu, nv, 1]);
  const outlines = sizes.map((): number[] => []);
  for (let pixel = 0; pixel < labels.length; pixel++) if (labels[pixel] !== 0) outlines[labels[pixel]! - 1]!.push(pixel);
  return outlines;
}

interface Gap {
  /** The slice behind the gap. */
  readonly end: number;
  /** Its outlines behind the first outline. */
  readonly across: readonly Outline[];
}

/** The gap behind the outline; null where the next slice has mask there, or no slice has. */
function gapBehind(slices: readonly (readonly Outline[])[], outline: Outline, slice: number, direction: number): Gap | null {
  const pixels = new Set(outline);
  for (let end = slice + direction; end >= 0 && end < slices.length; end += direction) {
    const across = slices[end]!.filter((other) => other.some((pixel) => pixels.has(pixel)));
    if (across.length > 0) return Math.abs(end - slice) > 1 ? { end, across } : null;
  }
  return null;
}

function fillGap(stack: Stack, [one, from]: readonly [Outline, number], [other, to]: readonly [Outline, number], add: (voxel: number) => void): void {
  const box = boxOf([one, other], stack.size[0]);
  const [distanceOne, distanceOther] = [signedDistanceMm(one, stack, box), signedDistanceMm(other, stack, box)];
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  for (let s = low + 1; s < high; s++) {
    const share = (s - from) / (to - from);
    for (let n = 0; n < distanceOne.length; n++) {
      if ((1 - share) * distanceOne[n]! + share * distanceOther[n]! < 0) add(stack.at(pixelAt(n, stack, box), s));
    }
  }
}

/** The part of a slice that holds both shapes. */
interface Box {
  readonly min: readonly [number, number];
  readonly size: readonly [number, number];
}

function boxOf(shapes: readonly Outline[], nu: number): Box {
  let [u0, v0, u1, v1] = [Infinity, Infinity, -1, -1];
  for (const shape of shapes) {
    for (const pixel of shape) {
      const [u, v] = [pixel % nu, Math.floor(pixel / nu)];
      [u0, u1, v0, v1] = [Math.min(u0, u), Math.max(u1, u), Math.min(v0, v), Math.max(v1, v)];
    }
  }
  return { min: [u0, v0], size: [u1 - u0 + 1, v1 - v0 + 1] };
}

function pixelAt(n: number, { size: [nu] }: Stack, { min, size }: Box): number {
  return min[0] + (n % size[0]) + nu * (min[1] + Math.floor(n / size[0]));
}

/** Of each pixel of the box: mm to the shape, or inside the shape minus mm to the nearest pixel outside it. */
function signedDistanceMm(shape: Outline, stack: Stack, box: Box): Float64Array {
  // One pixel of margin on each side, so that a shape that fills the box has an outside.
  const [mu, mv] = [box.size[0] + 2, box.size[1] + 2];
  const [toShape, toOutside] = [new Float64Array(mu * mv).fill(Infinity), new Float64Array(mu * mv)];
  for (const pixel of shape) {
    const [u, v] = [(pixel % stack.size[0]) - box.min[0] + 1, Math.floor(pixel / stack.size[0]) - box.min[1] + 1];
    toShape[u + mu * v] = 0;
    toOutside[u + mu * v] = Infinity;
  }
  for (const squared of [toShape, toOutside]) {
    for (let v = 0; v < mv; v++) transformLine(squared, mu * v, 1, mu, stack.pixelMm[0]);
    for (let u = 0; u < mu; u++) transformLine(squared, u, mu, mv, stack.pixelMm[1]);
  }
  return Float64Array.from({ length: box.size[0] * box.size[1] }, (_, n) => {
    const at = 1 + (n % box.size[0]) + mu * (1 + Math.floor(n / box.size[0]));
    return Math.sqrt(toShape[at]!) - Math.sqrt(toOutside[at]!);
  });
}
