// The mesh of labels: surface of their voxels, smoothed, decimated, with the volume of the voxels, in scanner millimetres.
import { apply, determinant, voxelSizeMm } from '../affine';
import type { Affine, Dims, Volume } from '../volume';
import { decimated } from './decimate';
import { enclosedVolumeMm3 } from './mesh';
import type { Mesh } from './mesh';
import { joined, piecesOf } from './pieces';
import { MESH_SETTINGS } from './quality';
import type { MeshQuality } from './quality';
import { withVolume } from './restore-volume';
import { smoothed } from './smooth';
import { voxelSurface } from './voxel-surface';
import type { PaddedMask } from './voxel-surface';
import { leakOf } from './watertight';

/**
 * One watertight mesh around all voxels with one of the labels `indices`, in RAS+ mm, with outward normals. Errors: no voxel
 * has such a label.
 */
export function labelMesh(labels: Volume<Uint8Array>, indices: readonly number[], quality: MeshQuality): Mesh {
  const { mask, dims, first } = maskInBox(labels, indices);
  const surface = voxelSurface({ mask, dims });
  const { smoothing, maxShiftMm, decimationMm, maxOffsetMm } = MESH_SETTINGS[quality];
  const [rx, ry, rz] = voxelSizeMm(labels.affineVox2ras).map((mm) => Math.min(MAX_SHIFT_VOXELS, maxShiftMm / mm)) as [number, number, number];
  const smooth = smoothed(surface, smoothing, [rx, ry, rz]);
  const toMm = (mesh: Mesh): Mesh[] => piecesOf(inScannerMm(mesh, first, labels.affineVox2ras));
  const before = toMm(surface);
  const pieces = toMm(smooth).map((piece, n) => {
    const volumeMm3 = enclosedVolumeMm3(before[n]!);
    return withVolume(decimated(piece, Math.min(decimationMm, MAX_ERROR_OF_SIZE * Math.cbrt(Math.abs(volumeMm3)))), volumeMm3, maxOffsetMm);
  });
  const mesh = joined(pieces);
  const leak = leakOf(mesh);
  if (leak !== null) throw new Error(`The mesh is not watertight: ${leak}. Please report it with the diagnostics.`);
  return mesh;
}

/** So that neither a single voxel nor a sheet of one voxel collapses. */
const MAX_SHIFT_VOXELS = 0.5;

/** Largest error of the decimation as a share of a piece's size, the cube root of its volume: small pieces keep their shape. */
const MAX_ERROR_OF_SIZE = 0.1;

/** The voxels of the labels, 1, in the smallest box with one empty voxel around it; `first` is the voxel at its corner. */
function maskInBox({ data, dims }: Volume<Uint8Array>, indices: readonly number[]): PaddedMask & { readonly first: Dims } {
  const isWanted = Uint8Array.from({ length: 256 }, (_, label) => Number(indices.includes(label)));
  const [nx, ny, nz] = dims;
  const low = [nx, ny, nz];
  const high = [-1, -1, -1];
  let n = 0;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) {
        if (isWanted[data[n++]!] === 0) continue;
        [x, y, z].forEach((at, axis) => {
          if (at < low[axis]!) low[axis] = at;
          if (at > high[axis]!) high[axis] = at;
        });
      }
    }
  }
  if (high[0]! < 0) throw new Error('There is no mesh to save: no voxel has this label.');
  const first: Dims = [low[0]! - 1, low[1]! - 1, low[2]! - 1];
  const box: Dims = [high[0]! - first[0] + 2, high[1]! - first[1] + 2, high[2]! - first[2] + 2];
  const mask = new Uint8Array(box[0] * box[1] * box[2]);
  for (let z = low[2]!; z <= high[2]!; z++) {
    for (let y = low[1]!; y <= high[1]!; y++) {
      const from = nx * (y + ny * z);
      const to = box[0] * (y - first[1] + box[1] * (z - first[2])) - first[0];
      for (let x = low[0]!; x <= high[0]!; x++) mask[to + x] = isWanted[data[from + x]!]!;
    }
  }
  return { mask, dims: box, first };
}

/** From voxels of the box to RAS+ mm. A grid that mirrors turns the triangles over, so they are turned back. */
function inScannerMm({ positions, triangles }: Mesh, first: Dims, affineVox2ras: Affine): Mesh {
  const moved = new Float64Array(positions.length);
  for (let n = 0; n < positions.length; n += 3) {
    moved.set(apply(affineVox2ras, [positions[n]! + first[0], positions[n + 1]! + first[1], positions[n + 2]! + first[2]]), n);
  }
  if (determinant(affineVox2ras) > 0) return { positions: moved, triangles };
  // The first and the last corner change places.
  return { positions: moved, triangles: triangles.map((_, n) => triangles[n + 2 - 2 * (n % 3)]!) };
}
