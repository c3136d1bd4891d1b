// Whether a volume's values look like labels or probabilities instead of a scan's intensities. Twin of meshnet/scan/label_values.py.
import type { VoxelArray } from './volume';

/** FreeSurfer's aseg has 45 labels; an 8-bit scan has about 200 grey levels. */
const MOST_LABELS = 64;
/** FreeSurfer's largest code is 14175. */
const LARGEST_LABEL = 20_000;

/** Whether all values are integers from 0 to 20,000, and at most 64 different ones. */
export function isLabelLike(data: VoxelArray): boolean {
  const seen = new Uint8Array(LARGEST_LABEL + 1);
  let different = 0;
  for (let n = 0; n < data.length; n++) {
    const value = data[n]!;
    if (!(value >= 0 && value <= LARGEST_LABEL) || value !== Math.floor(value)) return false;
    if (seen[value] === 0) {
      seen[value] = 1;
      if (++different > MOST_LABELS) return false;
    }
  }
  return true;
}

/** No scan has as few different values as this. */
const FEW_VALUES = 16;

/** The number of different values, where there are at most 16; else null. */
export function countFewValues(data: VoxelArray): number | null {
  const seen = new Set<number>();
  for (let n = 0; n < data.length; n++) {
    seen.add(data[n]!);
    if (seen.size > FEW_VALUES) return null;
  }
  return seen.size;
}

/**
 * Of a probability map's voxels above `ABOVE_ZERO`, at most the first share lies in the middle and at least the second one near 1. Scans
 * scaled to 0…1 and clipped at 2 % and 98 % had 31 % or more in the middle.
 */
const [ABOVE_ZERO, NEAR_ONE, LARGEST] = [2 ** -7, 0.875, 1 + 2 ** -10];
const MIDDLE = [0.25, 0.75] as const;
const [MOST_IN_THE_MIDDLE, LEAST_NEAR_ONE] = [0.25, 0.1];

/** Whether the values are those of a probability map: 0 to 1, most of them 0, few of the others in the middle. */
export function isProbabilityLike(data: VoxelArray): boolean {
  let [zero, above, middle, nearOne] = [0, 0, 0, 0];
  for (let n = 0; n < data.length; n++) {
    const value = data[n]!;
    if (!(value >= 0 && value <= LARGEST)) return false;
    if (value === 0) zero++;
    if (value > ABOVE_ZERO) above++;
    if (value >= MIDDLE[0] && value <= MIDDLE[1]) middle++;
    if (value >= NEAR_ONE) nearOne++;
  }
  return 2 * zero > data.length && nearOne > 0 && middle <= MOST_IN_THE_MIDDLE * above && nearOne >= LEAST_NEAR_ONE * above;
}
