// The volume of the voxels, after smoothing and decimation have changed it.
import { enclosedVolumeMm3, vertexNormals } from './mesh';
import type { Mesh } from './mesh';

/** The volume is a polynomial of third degree in the offset: Newton's method needs few steps. */
const STEPS = 6;

/** The mesh moved along its normals until it encloses `volumeMm3`, but by at most `maxOffsetMm`. */
export function withVolume(mesh: Mesh, volumeMm3: number, maxOffsetMm: number): Mesh {
  const directions = unit(vertexNormals(mesh));
  let offset = 0;
  let moved = mesh;
  for (let step = 0; step < STEPS; step++) {
    // A vertex that moves along its area vector (twice the area) sweeps a sixth of its length.
    const slope = dot(vertexNormals(moved), directions) / 6;
    if (!(slope > 0)) break;
    offset = clamp(offset + (volumeMm3 - enclosedVolumeMm3(moved)) / slope, maxOffsetMm);
    moved = { ...mesh, positions: mesh.positions.map((value, n) => value + offset * directions[n]!) };
  }
  return moved;
}

function unit(vectors: Float64Array): Float64Array {
  const units = new Float64Array(vectors.length);
  for (let n = 0; n < vectors.length; n += 3) {
    const length = Math.hypot(vectors[n]!, vectors[n + 1]!, vectors[n + 2]!);
    if (length > 0) for (let axis = 0; axis < 3; axis++) units[n + axis] = vectors[n + axis]! / length;
  }
  return units;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let n = 0; n < a.length; n++) sum += a[n]! * b[n]!;
  return sum;
}

function clamp(value: number, limit: number): number {
  return Math.max(-limit, Math.min(limit, value));
}
