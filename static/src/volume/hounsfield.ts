// Whether a volume's values are those of a CT. Twin of meshnet/scan/hounsfield.py.
import { note, type Note } from './notes';
import { valueCounts } from './short-integers';
import type { VoxelArray } from './volume';

/** Hounsfield units of air, and the share of all voxels that a CT of a head has of it at least. */
const AIR_HU = [-1100, -900] as const;
const LEAST_AIR = 0.1;
/** Scanners store HU + 1024 as unsigned numbers. Air near 0 is usual in MRI too, hence the next four. */
const UNSIGNED_OFFSET = 1024;
/** In HU: what is above air, soft tissue, and bone. */
const [TISSUE_HU, BONE_HU] = [-500, 300];
const SOFT_HU = [-50, 120] as const;
/** Least shares of the voxels above air that are soft tissue and bone. At any scale, real MRI had 0.45 at most. */
const [LEAST_SOFT, LEAST_BONE] = [0.5, 0.05];

/** A note where the values look like Hounsfield units, signed or with 1024 added. */
export function ctNotes(data: VoxelArray): Note[] {
  const signed = countsIn(data, 0);
  if (signed.air / data.length >= LEAST_AIR && signed.hasPositive) return [note('looks-like-ct', signed.air / data.length, -1000)];
  const { air, aboveAir, soft, bone } = countsIn(data, UNSIGNED_OFFSET);
  if (air / data.length < LEAST_AIR || aboveAir === 0 || soft / aboveAir < LEAST_SOFT || bone / aboveAir < LEAST_BONE) return [];
  return [note('looks-like-ct', air / data.length, UNSIGNED_OFFSET - 1000)];
}

/** Voxels of each kind where the value is HU + `offset`, and whether any value is above 0. */
function countsIn(data: VoxelArray, offset: number): { air: number; aboveAir: number; soft: number; bone: number; hasPositive: boolean } {
  let [air, aboveAir, soft, bone] = [0, 0, 0, 0];
  let hasPositive = false;
  const [leastAir, mostAir, tissue] = [AIR_HU[0] + offset, AIR_HU[1] + offset, TISSUE_HU + offset];
  const [leastSoft, mostSoft, leastBone] = [SOFT_HU[0] + offset, SOFT_HU[1] + offset, BONE_HU + offset];
  const { values, counts } = valueCounts(data);
  for (let n = 0; n < values.length; n++) {
    const value = values[n]!;
    const voxels = counts === null ? 1 : counts[n]!;
    if (value > 0) hasPositive = true;
    if (value <= mostAir) {
      if (value >= leastAir) air += voxels;
    } else if (value > tissue) {
      aboveAir += voxels;
      if (value > leastBone) bone += voxels;
      else if (value >= leastSoft && value <= mostSoft) soft += voxels;
    }
  }
  return { air, aboveAir, soft, bone, hasPositive };
}
