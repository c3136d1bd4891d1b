// The offset and factor that take a scan's values to grey levels 0–255, from a histogram of the source voxels
// (FastSurfer's getscale: no lower cut, upper cut at 0.1 % of the voxels that are not 0).
import { valueCounts } from './short-integers';
import type { VoxelArray } from './volume';

/** grey = (value − offset) · factor */
export interface GreyScale {
  readonly offset: number;
  readonly factor: number;
}

const BINS = 1000;
const UPPER_CUT = 1 - 0.999;
const NOT_ZERO = 1e-15;

/** Offset and factor of finite, not constant data. The steps are numbered as in docs/conform.md, section 4. */
export function greyScale(data: VoxelArray): GreyScale {
  const { min, max, nonZero } = extent(data); // 1
  const edges = Float64Array.from({ length: BINS + 1 }, (_, bin) => bin * ((max - min) / BINS) + min);
  edges[BINS] = max;
  const counts = histogram(data, edges); // 2
  const cutoff = data.length - Math.trunc(UPPER_CUT * nonZero); // 3
  let upper = 0;
  for (let cumulative = 0; cumulative < cutoff; upper++) cumulative += counts[upper]!;
  const top = upper >= 2 ? edges[upper - 2]! : edges[BINS]; // 4
  return { offset: min, factor: top === min ? 1 : 255 / (top - min) }; // 5
}

function extent(data: VoxelArray): { readonly min: number; readonly max: number; readonly nonZero: number } {
  let [min, max, nonZero] = [Infinity, -Infinity, 0];
  const { values, counts } = valueCounts(data);
  for (let n = 0; n < values.length; n++) {
    const value = values[n]!;
    if (value < min) min = value;
    if (value > max) max = value;
    if (Math.abs(value) >= NOT_ZERO) nonZero += counts === null ? 1 : counts[n]!;
  }
  return { min, max, nonZero };
}

function histogram(data: VoxelArray, edges: Float64Array): Float64Array {
  const bins = new Float64Array(BINS);
  const { values, counts } = valueCounts(data);
  for (let n = 0; n < values.length; n++) bins[binOf(values[n]!, edges)]! += counts === null ? 1 : counts[n]!;
  return bins;
}

function binOf(value: number, edges: Float64Array): number {
  const [min, max] = [edges[0]!, edges[BINS]!];
  const bin = Math.min(Math.trunc(((value - min) / (max - min)) * BINS), BINS - 1);
  if (value < edges[bin]!) return bin - 1;
  return bin < BINS - 1 && value >= edges[bin + 1]! ? bin + 1 : bin;
}
