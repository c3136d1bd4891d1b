// Values so far from the rest that they would take the grey scale: a wrong voxel of −32768, a ring of spikes.
// Twin of meshnet/scan/outliers.py; docs/inputs.md has the rule.
import { note, type Note } from './notes';
import { valuesAtShares } from './order-statistics';
import { valueCounts } from './short-integers';
import type { VoxelArray } from './volume';

/** Shares of the voxels below and above which values may be outliers. */
const [LOW_SHARE, HIGH_SHARE] = [0.005, 0.995];
/** An outlier lies this many spans (between the two) below or above them. */
const [SPANS_BELOW, SPANS_ABOVE] = [2, 10];

/** The data with its outliers replaced by the nearest value that isn't one, float64, and the note; null where there are none. */
export function withoutOutliers(data: VoxelArray): { readonly data: Float64Array; readonly note: Note } | null {
  const [low, high] = valuesAtShares(data, [LOW_SHARE, HIGH_SHARE]) as [number, number];
  const span = high - low;
  const [lowest, highest] = [low - SPANS_BELOW * span, high + SPANS_ABOVE * span];
  let [count, outlierMin, outlierMax, restMin, restMax] = [0, Infinity, -Infinity, Infinity, -Infinity];
  const { values, counts } = valueCounts(data);
  for (let n = 0; n < values.length; n++) {
    const value = values[n]!;
    if (value < lowest || value > highest) {
      count += counts === null ? 1 : counts[n]!;
      if (value < outlierMin) outlierMin = value;
      if (value > outlierMax) outlierMax = value;
    } else {
      if (value < restMin) restMin = value;
      if (value > restMax) restMax = value;
    }
  }
  if (span <= 0 || count === 0) return null;
  const clipped = new Float64Array(data.length);
  // Not to `lowest` and `highest`: those are themselves so far out that they would stretch the grey scale.
  for (let n = 0; n < data.length; n++) clipped[n] = Math.min(Math.max(data[n]!, restMin), restMax);
  return { data: clipped, note: note('outliers-clipped', count, count / data.length, outlierMin, outlierMax, restMin, restMax) };
}
