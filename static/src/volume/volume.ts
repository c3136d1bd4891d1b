// A volume in memory. Memory order: x (= i) fastest, then y, then z.

export type Dims = readonly [nx: number, ny: number, nz: number];

export type VoxelArray =
  | Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Uint32Array | Float32Array | Float64Array;

/** Row-major 4×4; voxel (i, j, k, 1) → millimetres (x, y, z, 1) in RAS+. */
export type Affine = readonly number[];

export interface Volume<T extends VoxelArray = VoxelArray> {
  readonly data: T;
  readonly dims: Dims;
  readonly affineVox2ras: Affine;
}
