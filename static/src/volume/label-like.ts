// Whether a volume's values look like labels instead of a scan's intensities.
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
