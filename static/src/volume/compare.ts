// Comparison of a result with a reference mask, as `meshnet-compare` computes it (meshnet/score/compare.py, metrics.py).
import { voxelSizeMm } from './affine';
import { connectedComponents } from './components';
import { labelsToNative, voxelVolumeMl } from './native';
import { surfaceDistancesMm } from './surface-distance';
import type { Volume } from './volume';

export interface Comparison {
  /** 2|A∩B| / (|A|+|B|), 0…1; 1 where both masks are empty. */
  readonly dice: number;
  /** Share of the result that lies in the reference, 0…1; 0 for an empty result, 1 where both are empty. */
  readonly precision: number;
  /** Share of the reference that lies in the result, 0…1; 0 for an empty reference, 1 where both are empty. */
  readonly recall: number;
  /** The larger of the two directed 95th percentiles of the surface distances; infinite where one mask is empty. */
  readonly hd95Mm: number;
  /** Mean distance of all surface voxels of both masks to the other surface; infinite where one mask is empty. */
  readonly meanSurfaceDistanceMm: number;
  readonly resultMl: number;
  readonly referenceMl: number;
  /** Lesions of the reference (26-neighbourhood) with and without a voxel of the result. */
  readonly lesionsFound: number;
  readonly lesionsMissed: number;
  /** Lesions of the result without a voxel of the reference. */
  readonly lesionsFalse: number;
}

/** Masks are the voxels above 0. The reference is brought onto the result's grid through the affines, by nearest neighbour. */
export function compareMasks(result: Volume<Uint8Array>, reference: Volume<Uint8Array>): Comparison {
  const { dims, affineVox2ras } = result;
  const a = result.data.map((label) => Number(label > 0));
  const b = onGridOf(reference, result).map((label) => Number(label > 0));
  const both = a.map((value, n) => value & b[n]!);
  const [resultVoxels, referenceVoxels, common] = [count(a), count(b), count(both)];
  const areEmpty = resultVoxels + referenceVoxels === 0;
  const [found, lesions] = metBy(both, connectedComponents(b, dims, 26));
  const [right, parts] = metBy(both, connectedComponents(a, dims, 26));
  const voxelMl = voxelVolumeMl(affineVox2ras);
  return {
    dice: areEmpty ? 1 : (2 * common) / (resultVoxels + referenceVoxels),
    precision: areEmpty ? 1 : resultVoxels === 0 ? 0 : common / resultVoxels,
    recall: areEmpty ? 1 : referenceVoxels === 0 ? 0 : common / referenceVoxels,
    ...distances(surfaceDistancesMm(a, b, dims, voxelSizeMm(affineVox2ras)), areEmpty),
    resultMl: resultVoxels * voxelMl,
    referenceMl: referenceVoxels * voxelMl,
    lesionsFound: found,
    lesionsMissed: lesions - found,
    lesionsFalse: parts - right,
  };
}

function onGridOf(mask: Volume<Uint8Array>, { dims, affineVox2ras }: Volume<Uint8Array>): Uint8Array {
  const isSame = mask.dims.every((n, axis) => n === dims[axis]) && mask.affineVox2ras.every((value, n) => Math.abs(value - affineVox2ras[n]!) <= AFFINE_TOLERANCE_MM);
  return isSame ? mask.data : labelsToNative(mask, dims, affineVox2ras);
}

/** Masks are on one grid where their affines differ by at most this, as for `meshnet-compare`. */
const AFFINE_TOLERANCE_MM = 1e-2;

function count(mask: Uint8Array): number {
  let voxels = 0;
  for (let n = 0; n < mask.length; n++) voxels += mask[n]!;
  return voxels;
}

/** Number of components that hold a voxel of `mask`, and of all. */
function metBy(mask: Uint8Array, { labels, sizes }: ReturnType<typeof connectedComponents>): [number, number] {
  const met = new Set<number>();
  for (let n = 0; n < mask.length; n++) if (mask[n] !== 0) met.add(labels[n]!);
  return [met.size, sizes.length];
}

function distances(directed: ReturnType<typeof surfaceDistancesMm>, areEmpty: boolean): Pick<Comparison, 'hd95Mm' | 'meanSurfaceDistanceMm'> {
  if (directed === null) return { hd95Mm: areEmpty ? 0 : Infinity, meanSurfaceDistanceMm: areEmpty ? 0 : Infinity };
  const all = directed.reduce((n, { length }) => n + length, 0);
  const sum = directed.reduce((total, values) => total + values.reduce((a, b) => a + b, 0), 0);
  return { hd95Mm: Math.max(...directed.map((values) => percentile(values, 95))), meanSurfaceDistanceMm: sum / all };
}

/** Linear between the two nearest ranks, as numpy.percentile. */
function percentile(values: Float64Array, percent: number): number {
  const sorted = values.slice().sort();
  const rank = (percent / 100) * (sorted.length - 1);
  const below = Math.floor(rank);
  const [low, high] = [sorted[below]!, sorted[Math.min(below + 1, sorted.length - 1)]!];
  return low + (high - low) * (rank - below);
}
