// The quality words in millimetres. A thin sheet of the mask never vanishes: all qualities start from the surface
// of the voxels and only move it, they don't blur the mask.

export type MeshQuality = 'fine' | 'medium' | 'coarse';

export interface MeshSettings {
  /** Passes of smoothing. */
  readonly smoothing: number;
  /** A vertex is smoothed at most this far from the voxel surface. */
  readonly maxShiftMm: number;
  /** Root of the mean squared distance, to the triangles that were there before, at which a vertex is not removed. */
  readonly decimationMm: number;
  /** The surface is moved by at most this along its normals to keep the volume of the voxels. */
  readonly maxOffsetMm: number;
}

/** At fine the three distances add up to 1 mm. */
export const MESH_SETTINGS: Readonly<Record<MeshQuality, MeshSettings>> = {
  fine: { smoothing: 20, maxShiftMm: 0.5, decimationMm: 0.15, maxOffsetMm: 0.35 },
  medium: { smoothing: 30, maxShiftMm: 1, decimationMm: 0.3, maxOffsetMm: 0.4 },
  coarse: { smoothing: 40, maxShiftMm: 2, decimationMm: 0.8, maxOffsetMm: 1 },
};
