// Smoothing that keeps every vertex near its place.
import type { Mesh } from './mesh';

/**
 * The factors of Taubin 1995 (doi:10.1145/218380.218473): a step inwards and a slightly longer one outwards remove steps of the
 * size of a voxel and keep volume and larger shapes.
 */
const FACTORS = [0.5, -0.53] as const;

type Radii = readonly [number, number, number];

/**
 * The mesh after `passes` pairs of steps towards the mean of the neighbours. Each vertex stays in the ellipsoid with these radii
 * along x, y and z, in the unit of the positions, around its place before.
 */
export function smoothed({ positions, triangles }: Mesh, passes: number, radii: Radii): Mesh {
  const valences = new Uint32Array(positions.length / 3);
  // In a closed mesh, each neighbour of a vertex is the next corner of exactly one of its triangles.
  for (let n = 0; n < triangles.length; n++) valences[triangles[n]!]!++;
  const moved = positions.slice();
  const sums = new Float64Array(positions.length);
  for (let pass = 0; pass < passes; pass++) {
    for (const factor of FACTORS) {
      addNeighbours(sums.fill(0), moved, triangles);
      step(moved, positions, sums, valences, factor, radii);
    }
  }
  return { positions: moved, triangles };
}

function addNeighbours(sums: Float64Array, positions: Float64Array, triangles: Uint32Array): void {
  for (let n = 0; n < triangles.length; n += 3) {
    const [a, b, c] = [3 * triangles[n]!, 3 * triangles[n + 1]!, 3 * triangles[n + 2]!];
    for (let axis = 0; axis < 3; axis++) {
      sums[a + axis]! += positions[b + axis]!;
      sums[b + axis]! += positions[c + axis]!;
      sums[c + axis]! += positions[a + axis]!;
    }
  }
}

/** Moves each vertex by `factor` of the way to the mean of its neighbours, and back to its ellipsoid. */
function step(moved: Float64Array, before: Float64Array, sums: Float64Array, valences: Uint32Array, factor: number, [rx, ry, rz]: Radii): void {
  for (let vertex = 0, n = 0; vertex < valences.length; vertex++, n += 3) {
    const valence = valences[vertex]!;
    const x = moved[n]! + factor * (sums[n]! / valence - moved[n]!) - before[n]!;
    const y = moved[n + 1]! + factor * (sums[n + 1]! / valence - moved[n + 1]!) - before[n + 1]!;
    const z = moved[n + 2]! + factor * (sums[n + 2]! / valence - moved[n + 2]!) - before[n + 2]!;
    const share = Math.sqrt((x / rx) ** 2 + (y / ry) ** 2 + (z / rz) ** 2);
    const scale = share > 1 ? 1 / share : 1;
    moved[n] = before[n]! + scale * x;
    moved[n + 1] = before[n + 1]! + scale * y;
    moved[n + 2] = before[n + 2]! + scale * z;
  }
}
