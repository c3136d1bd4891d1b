// Reordering between axis codes: permutation and flips only, no interpolation.
//
// A code names the direction in which each of i, j, k increases: in LIA, i grows to the Left, j down (Inferior),
// k to the front (Anterior).
import type { Dims, VoxelArray } from './volume';

export const CONFORMED_ORIENTATION = 'LIA';

const AXIS_OF_LETTER: Readonly<Record<string, number>> = { L: 0, R: 0, P: 1, A: 1, I: 2, S: 2 };

/** For each axis of `to`: the axis of `from` it is taken from, and whether it runs backwards. */
function axisMap(from: string, to: string): { source: number; flip: boolean }[] {
  const map = Array.from(to, (letter) => {
    const source = Array.from(from).findIndex((other) => AXIS_OF_LETTER[other] === AXIS_OF_LETTER[letter]);
    return { source, flip: from[source] !== letter };
  });
  if (from.length !== 3 || to.length !== 3 || new Set(map.map((axis) => axis.source)).size !== 3 || map.some((axis) => axis.source < 0)) {
    throw new RangeError(`cannot reorder ${JSON.stringify(from)} to ${JSON.stringify(to)}; expected two codes of three axes each, e.g. LIA and RAS`);
  }
  return map;
}

/** Size of a grid of `dims` in `from` order once it is in `to` order. */
export function reorientedDims(dims: Dims, from: string, to: string): Dims {
  return axisMap(from, to).map(({ source }) => dims[source]) as unknown as Dims;
}

/** Copy `data` (x fastest, axes in `from` order) into `to` order (x fastest). Exact; `reorient(…, to, from)` undoes it. */
export function reorient<T extends VoxelArray>(data: T, dims: Dims, from: string, to: string): T {
  const out = data.slice() as T;
  if (from === to) return out;
  const strides = [1, dims[0], dims[0] * dims[1]];
  let base = 0;
  const steps = axisMap(from, to).map(({ source, flip }) => {
    if (flip) base += (dims[source]! - 1) * strides[source]!;
    return flip ? -strides[source]! : strides[source]!;
  });
  const [nx, ny, nz] = reorientedDims(dims, from, to);
  const [sx, sy, sz] = steps as [number, number, number];
  let target = 0;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      let source = base + y * sy + z * sz;
      for (let x = 0; x < nx; x++, source += sx) out[target++] = data[source]!;
    }
  }
  return out;
}
