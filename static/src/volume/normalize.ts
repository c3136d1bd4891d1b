// Intensity normalisation of the conformed volume. It is uint8, so a table of 256 values is enough.
import type { ModelSpec } from '../generated/model-spec';
import { ScanError } from './errors';

export type Normalization = NonNullable<ModelSpec['input']['normalization']>;

/** Number of voxels of each of the 256 grey levels. */
export function histogram256(data: Uint8Array): Float64Array {
  const counts = new Float64Array(256);
  for (let n = 0; n < data.length; n++) counts[data[n]!]!++;
  return counts;
}

/** Quantile q over all counted voxels with linear interpolation, as `numpy.quantile` by default. */
export function quantile256(counts: Float64Array, q: number): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const position = q * (total - 1);
  const below = Math.floor(position);
  const [low, high] = [valueAtRank(counts, below), valueAtRank(counts, Math.min(below + 1, total - 1))];
  return low + (high - low) * (position - below);
}

function valueAtRank(counts: Float64Array, rank: number): number {
  let seen = 0;
  return counts.findIndex((count) => (seen += count) > rank);
}

/**
 * Normalised value of each grey level, float32 [256]: (x − low) / (high − low), where low and high are the
 * smallest and largest value (`minmax`) or the stated quantiles, the latter clipped to [0, 1] where asked.
 * Raises ScanError where low equals high.
 */
export function normalizationTable(counts: Float64Array, normalization: Normalization): Float32Array {
  const isQuantile = normalization.kind === 'quantile';
  const low = isQuantile ? quantile256(counts, normalization.low) : counts.findIndex((count) => count > 0);
  const high = isQuantile ? quantile256(counts, normalization.high) : counts.findLastIndex((count) => count > 0);
  if (!(high > low)) {
    const what = isQuantile ? `its quantiles ${normalization.low} and ${normalization.high} are both ${low}` : `every voxel is ${low}`;
    throw new ScanError(`the conformed scan has no contrast: ${what}; give a scan with an image in it`);
  }
  const clip = isQuantile && normalization.clip;
  return Float32Array.from({ length: 256 }, (_, grey) => {
    const value = (grey - low) / (high - low);
    return clip ? Math.min(Math.max(value, 0), 1) : value;
  });
}

/** Conformed uint8 → normalised float32, voxel for voxel. */
export function normalize(data: Uint8Array, normalization: Normalization): Float32Array {
  const table = normalizationTable(histogram256(data), normalization);
  const out = new Float32Array(data.length);
  for (let n = 0; n < data.length; n++) out[n] = table[data[n]!]!;
  return out;
}
