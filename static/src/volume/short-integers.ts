// Volumes of 8- and 16-bit integers: their values counted, and mapped through a table of one entry per value. Twin of
// meshnet/scan/short_integers.py; the results are those of a computation voxel by voxel.
import type { VoxelArray } from './volume';

export type ShortIntegers = Uint8Array | Int8Array | Uint16Array | Int16Array;

export function isShortInteger(data: VoxelArray): data is ShortIntegers {
  return data instanceof Uint8Array || data instanceof Int8Array || data instanceof Uint16Array || data instanceof Int16Array;
}

/** The smallest value of the type. */
export function leastOf(data: ShortIntegers): number {
  if (data instanceof Int8Array) return -(2 ** 7);
  return data instanceof Int16Array ? -(2 ** 15) : 0;
}

/** Values, each with the number of voxels that have it; `counts` is null where every entry is one voxel. */
export interface ValueCounts {
  readonly values: VoxelArray;
  readonly counts: Float64Array | null;
}

/** The last array that was counted: opening a scan asks for its values about ten times. */
let counted: { readonly data: WeakRef<ShortIntegers>; readonly of: ValueCounts } | null = null;

/** The different values of 8- and 16-bit integers, ascending, with their counts; all voxels of other types as they are. */
export function valueCounts(data: VoxelArray): ValueCounts {
  if (!isShortInteger(data)) return { values: data, counts: null };
  if (counted?.data.deref() !== data) counted = { data: new WeakRef(data), of: differentValues(data) };
  return counted.of;
}

/** To be called after a change of voxels whose values may have been counted. */
export function forgetCounts(): void {
  counted = null;
}

function differentValues(data: ShortIntegers): ValueCounts {
  const all = countedValues(data);
  const least = leastOf(data);
  const present = all.reduce((sum, count) => sum + Number(count > 0), 0);
  const [values, counts] = [new Float64Array(present), new Float64Array(present)];
  let at = 0;
  for (let n = 0; n < all.length; n++) {
    if (all[n] === 0) continue;
    values[at] = n + least;
    counts[at++] = all[n]!;
  }
  return { values, counts };
}

/** Number of voxels of every value, from the type's smallest to its largest. */
export function countedValues(data: ShortIntegers): Uint32Array {
  const counts = new Uint32Array(2 ** (8 * data.BYTES_PER_ELEMENT));
  const least = leastOf(data);
  for (let n = 0; n < data.length; n++) counts[data[n]! - least]!++;
  return counts;
}
