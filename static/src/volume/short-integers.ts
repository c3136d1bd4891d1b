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

/** Number of voxels of every value, from the type's smallest to its largest. */
export function countedValues(data: ShortIntegers): Uint32Array {
  const counts = new Uint32Array(2 ** (8 * data.BYTES_PER_ELEMENT));
  const least = leastOf(data);
  for (let n = 0; n < data.length; n++) counts[data[n]! - least]!++;
  return counts;
}
