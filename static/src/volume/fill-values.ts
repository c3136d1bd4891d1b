// Negative values that fill parts of a volume, such as −32768 or −9999 around what was measured. Twin of
// meshnet/scan/fill_values.py.
import { note, type Note } from './notes';
import { valuesAtShares } from './order-statistics';
import { forgetCounts, valueCounts } from './short-integers';
import type { VoxelArray } from './volume';

/** Most distinct fill values in one volume. */
const MOST_FILL_VALUES = 4;
/** Fewer voxels than this do not fill a region. */
const LEAST_VOXELS = 100;
/** Fewer voxels are outliers (outliers.ts), of which this is the share. */
const OUTLIER_SHARE = 0.005;

/**
 * Replaces fill values in `data` by the smallest other value; returns the note of them, or null. A fill value is one of
 * the four smallest values, is negative, and lies below the next value by more than that one lies below q99.5 %. Fill values
 * take more than 0.5 % of the voxels, and 100 of them.
 */
export function replaceFill(data: VoxelArray): Note | null {
  const { values, counts } = valueCounts(data);
  const lowest = nextAbove(values, -Infinity);
  if (!(lowest < 0)) return null;
  const [top] = valuesAtShares(data, [1 - OUTLIER_SHARE]) as [number];
  let [fill, value] = [-Infinity, lowest];
  for (let round = 0; round < MOST_FILL_VALUES; round++) {
    const following = nextAbove(values, value);
    if (value < 0 && following < top && following - value > top - following) fill = value;
    value = following;
  }
  let voxels = 0;
  for (let n = 0; n < values.length; n++) if (values[n]! <= fill) voxels += counts === null ? 1 : counts[n]!;
  if (voxels < LEAST_VOXELS || !(voxels / data.length > OUTLIER_SHARE)) return null;
  const least = nextAbove(values, fill);
  for (let n = 0; n < data.length; n++) if (data[n]! <= fill) data[n] = least;
  forgetCounts();
  return note('fill-values', voxels / data.length, lowest, fill, least);
}

/** The smallest of the values above this one; ∞ for none. */
function nextAbove(values: VoxelArray, value: number): number {
  let found = Infinity;
  for (let n = 0; n < values.length; n++) if (values[n]! > value && values[n]! < found) found = values[n]!;
  return found;
}
