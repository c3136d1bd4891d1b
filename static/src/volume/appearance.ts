// How a conformed head looks: its use of the grey scale, air in the corners, and the brightness of its fluid. Twin of
// meshnet/scan/appearance.py; docs/lab/contrast.md has the figures on which the limits rest.
import type { GreyScale } from './grey-scale';
import { note, type Note } from './notes';
import { valuesAtShares } from './order-statistics';
import { valueCounts } from './short-integers';
import type { Dims, Volume, VoxelArray } from './volume';

/** Extreme values take the grey scale where the voxels between these shares lie within the first number of levels at one of its ends, and all voxels span more levels than the second number. */
const NEARLY_ALL = [0.03, 0.97] as const;
const [NARROW_LEVELS, WIDE_LEVELS] = [16, 128];
/** Share of each axis that a corner has. */
const CORNER = 10;
/** The brain's middle lies this far below the top of the head; its sphere has this radius. */
const [BELOW_TOP_MM, RADIUS_MM] = [55, 55];
/** The top of the head is the first plane with this share of the fullest plane's tissue. */
const TOP_SHARE = 0.5;
/** Ranks of the bright parts of the sphere and of its middle. */
const [BRIGHT, MIDDLE] = [0.97, 0.5];
/** Share of the sphere that must be tissue. */
const LEAST_TISSUE = 0.5;

/** Notes where extreme values take the grey scale, or air is bright. The volume is that of the scan without outliers; `scale` gives its grey levels. */
export function appearanceNotes({ data, dims }: Pick<Volume, 'data' | 'dims'>, { offset, factor }: GreyScale): Note[] {
  const notes: Note[] = [];
  const level = (value: number): number => (value - offset) * factor;
  const [low, high] = valuesAtShares(data, NEARLY_ALL).map(level) as [number, number];
  let [least, most] = [Infinity, -Infinity];
  const { values } = valueCounts(data);
  for (let n = 0; n < values.length; n++) {
    if (values[n]! < least) least = values[n]!;
    if (values[n]! > most) most = values[n]!;
  }
  // Below the head may be air: only negative values are extreme there.
  const isNarrow = high < NARROW_LEVELS || (low >= 256 - NARROW_LEVELS && least < 0);
  if (isNarrow && level(most) - level(least) > WIDE_LEVELS) notes.push(note('grey-scale-narrow', Math.floor(high - low) + 1));
  if (cornersAreBright(data, dims)) notes.push(note('looks-inverted'));
  return notes;
}

/** Whether the mean of each corner of the field of view is above the mean of all voxels. */
function cornersAreBright(data: VoxelArray, dims: Dims): boolean {
  const { values, counts } = valueCounts(data);
  let sum = 0;
  for (let n = 0; n < values.length; n++) sum += values[n]! * (counts === null ? 1 : counts[n]!);
  const mean = sum / data.length;
  const size = dims.map((n) => Math.max(1, Math.floor(n / CORNER))) as unknown as Dims;
  return [0, 1, 2, 3, 4, 5, 6, 7].every((corner) => {
    const start = dims.map((n, axis) => ((corner >> axis) & 1) * (n - size[axis]!)) as unknown as Dims;
    let total = 0;
    for (let k = start[2]; k < start[2] + size[2]; k++) {
      for (let j = start[1]; j < start[1] + size[1]; j++) {
        for (let i = start[0]; i < start[0] + size[0]; i++) total += data[i + dims[0] * (j + dims[1] * k)]!;
      }
    }
    return total / (size[0] * size[1] * size[2]) > mean;
  });
}

/**
 * How many times as bright as the median the bright parts of the brain's middle are; NaN where no head is found.
 * `conformed`: LIA. The brain's middle is a sphere of 55 mm about the point 55 mm below the top of the head; the bright
 * parts are its 97th percentile.
 */
export function fluidBrightness({ data, dims }: Volume<Uint8Array>, voxelSizeMm: number): number {
  const levels = new Float64Array(256);
  for (let n = 0; n < data.length; n++) levels[data[n]!]!++;
  const [low, high] = [levelOfRank(levels, 0.02), levelOfRank(levels, 0.98)];
  const threshold = low + 0.2 * (high - low);
  const [across, down, along] = dims.map((n) => new Float64Array(n)) as [Float64Array, Float64Array, Float64Array];
  forEachVoxel(dims, (n, i, j, k) => {
    if (data[n]! <= threshold) return;
    across[i]!++;
    down[j]!++;
    along[k]!++;
  });
  const fullest = down.reduce((most, count) => Math.max(most, count), 0);
  if (fullest === 0) return NaN;
  const top = down.findIndex((count) => count >= TOP_SHARE * fullest);
  const centre = [medianPlane(across), top + BELOW_TOP_MM / voxelSizeMm, medianPlane(along)];
  const [squareX, squareY, squareZ] = dims.map((n, axis) => Float64Array.from({ length: n }, (_, at) => ((at - centre[axis]!) * voxelSizeMm) ** 2)) as [Float64Array, Float64Array, Float64Array];
  const inside = new Float64Array(256);
  let [voxels, tissue] = [0, 0];
  forEachVoxel(dims, (n, i, j, k) => {
    if (squareX[i]! + squareY[j]! + squareZ[k]! >= RADIUS_MM ** 2) return;
    const level = data[n]!;
    inside[level]!++;
    voxels++;
    if (level > threshold) tissue++;
  });
  if (voxels === 0 || tissue < LEAST_TISSUE * voxels) return NaN;
  const middle = levelOfRank(inside, MIDDLE);
  return middle > 0 ? levelOfRank(inside, BRIGHT) / middle : NaN;
}

function forEachVoxel([nx, ny, nz]: Dims, visit: (n: number, i: number, j: number, k: number) => void): void {
  let n = 0;
  for (let k = 0; k < nz; k++) for (let j = 0; j < ny; j++) for (let i = 0; i < nx; i++, n++) visit(n, i, j, k);
}

/** The first plane up to which at least half of the voxels lie. `counts`: voxels of each plane. */
function medianPlane(counts: Float64Array): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let [plane, sum] = [0, counts[0]!];
  while (2 * sum < total) sum += counts[++plane]!;
  return plane;
}

/** The grey level of rank ⌊share · (n − 1)⌋ among n voxels. `counts`: voxels of each level. */
function levelOfRank(counts: Float64Array, share: number): number {
  const rank = Math.floor(share * (counts.reduce((sum, count) => sum + count, 0) - 1));
  let [level, sum] = [0, counts[0]!];
  while (sum <= rank && level < 255) sum += counts[++level]!;
  return level;
}
