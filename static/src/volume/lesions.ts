// The separate lesions of a result: volume, size and place of each. Twin of meshnet/infer/lesions.py.
import type { ModelSpec } from '../generated/model-spec';
import { apply } from './affine';
import { labelCentres } from './centres';
import { longestDiameterMm, sideOf } from './extent';
import type { Side } from './extent';
import { componentsByLabel } from './label-components';
import { contextIndices, lesionIndices, only, showsBrain } from './label-roles';
import { voxelVolumeMl } from './native';
import type { Dims, Volume } from './volume';

type Described = Pick<ModelSpec, 'task' | 'labels'>;
type Triple = readonly [number, number, number];

/** Size and place of a label or a lesion. */
export interface Place {
  readonly longestDiameterMm: number;
  /** Of the voxel nearest to the mean position of the voxels; RAS. */
  readonly centreRasMm: Triple;
  readonly side: Side;
}

export interface Lesion extends Place {
  /** Index of the lesion label. */
  readonly label: number;
  readonly voxels: number;
  readonly volumeMl: number;
  /** 0 … 1; null without a probability map. */
  readonly meanProbability: number | null;
}

/** Indices of the labels that are lesions, by role or task, else those with the word in their name. */
export function lesionLabels(spec: Described): number[] {
  const named = spec.labels.filter(({ index, name }) => index > 0 && /lesion/i.test(name)).map(({ index }) => index);
  const indices = lesionIndices(spec);
  return indices.length > 0 ? indices : named;
}

/** Components (voxels sharing a face) of the lesion labels, the largest first. `probability`: 0 … 255 on the same grid. */
export function findLesions(spec: Described, native: Volume<Uint8Array>, probability: Uint8Array | null, midlineXMm: number): Lesion[] {
  const { dims, affineVox2ras } = native;
  const found: { readonly lesion: Lesion; readonly first: number }[] = [];
  for (const { label, component, sizes, at } of componentsByLabel(only(native.data, lesionLabels(spec)), dims)) {
    const members = sizes.map((size) => new Int32Array(size));
    const filled = new Int32Array(sizes.length);
    for (let n = 0; n < component.length; n++) {
      const which = component[n]! - 1;
      if (which >= 0) members[which]![filled[which]!++] = at(n);
    }
    for (const voxels of members) {
      const lesion: Lesion = {
        label,
        voxels: voxels.length,
        volumeMl: voxels.length * voxelVolumeMl(affineVox2ras),
        ...placeOf(voxels, native, midlineXMm),
        meanProbability: probability === null ? null : voxels.reduce((sum, at) => sum + probability[at]!, 0) / (255 * voxels.length),
      };
      found.push({ lesion, first: voxels[0]! });
    }
  }
  return found.sort((a, b) => b.lesion.voxels - a.lesion.voxels || a.first - b.first).map(({ lesion }) => lesion);
}

/** Of the voxels of one label; null where there are none. */
export function placeOfLabel(native: Volume<Uint8Array>, label: number, midlineXMm: number): Place | null {
  let count = 0;
  for (let n = 0; n < native.data.length; n++) if (native.data[n] === label) count++;
  if (count === 0) return null;
  const voxels = new Int32Array(count);
  for (let n = 0, place = 0; n < native.data.length; n++) if (native.data[n] === label) voxels[place++] = n;
  return placeOf(voxels, native, midlineXMm);
}

/** World x (RAS) between left and right: the mean x of the labelled brain, or 0, the scanner's, without one. */
export function midlineOf(spec: Described, { data, dims, affineVox2ras }: Volume<Uint8Array>): { xMm: number; ofBrain: boolean } {
  const context = new Set(contextIndices(spec));
  const isBrain = Uint8Array.from({ length: 256 }, (_, label) => (context.has(label) || lesionIndices(spec).includes(label) ? 1 : 0));
  const sums = [0, 0, 0];
  let [brain, hasContext, n] = [0, false, 0];
  for (let z = 0; z < dims[2]; z++) {
    for (let y = 0; y < dims[1]; y++) {
      for (let x = 0; x < dims[0]; x++, n++) {
        if (isBrain[data[n]!] === 0) continue;
        hasContext ||= context.has(data[n]!);
        brain++;
        sums[0]! += x;
        sums[1]! += y;
        sums[2]! += z;
      }
    }
  }
  if (!showsBrain(spec) || !hasContext) return { xMm: 0, ofBrain: false };
  return { xMm: apply(affineVox2ras, sums.map((sum) => sum / brain) as unknown as Dims)[0], ofBrain: true };
}

/** `voxels`: places in the volume, ascending. */
function placeOf(voxels: Int32Array, { dims, affineVox2ras }: Volume<Uint8Array>, midlineXMm: number): Place {
  const [nx, ny] = dims;
  const low = [Infinity, Infinity, Infinity];
  const high = [-1, -1, -1];
  const indexOf = (at: number): [number, number, number] => [at % nx, Math.floor(at / nx) % ny, Math.floor(at / (nx * ny))];
  for (const voxel of voxels) {
    for (const [axis, index] of indexOf(voxel).entries()) {
      if (index < low[axis]!) low[axis] = index;
      if (index > high[axis]!) high[axis] = index;
    }
  }
  const size = low.map((first, axis) => high[axis]! - first + 1) as unknown as Dims;
  const mask = new Uint8Array(size[0] * size[1] * size[2]);
  for (const voxel of voxels) {
    const [x, y, z] = indexOf(voxel);
    mask[x - low[0]! + size[0] * (y - low[1]! + size[1] * (z - low[2]!))] = 1;
  }
  const [i, j, k] = labelCentres(mask, size, 2)[1]!;
  const centreRasMm = apply(affineVox2ras, [i + low[0]!, j + low[1]!, k + low[2]!]);
  return { longestDiameterMm: longestDiameterMm(mask, size, affineVox2ras), centreRasMm, side: sideOf(centreRasMm[0], midlineXMm) };
}
