// A triangle mesh and what is measured of it.

export interface Mesh {
  /** x, y, z of each vertex. In RAS+ millimetres, unless a function says otherwise. */
  readonly positions: Float64Array;
  /** Three vertices of each triangle, counter-clockwise seen from outside. */
  readonly triangles: Uint32Array;
}

/** Enclosed volume in mm³, by the divergence theorem; negative where the triangles are clockwise seen from outside. */
export function enclosedVolumeMm3({ positions, triangles }: Mesh): number {
  // About the first vertex: far from the origin the terms would cancel.
  const [ox, oy, oz] = [positions[0] ?? 0, positions[1] ?? 0, positions[2] ?? 0];
  let sum = 0;
  for (let n = 0; n < triangles.length; n += 3) {
    const [a, b, c] = [3 * triangles[n]!, 3 * triangles[n + 1]!, 3 * triangles[n + 2]!];
    const [ax, ay, az] = [positions[a]! - ox, positions[a + 1]! - oy, positions[a + 2]! - oz];
    const [bx, by, bz] = [positions[b]! - ox, positions[b + 1]! - oy, positions[b + 2]! - oz];
    const [cx, cy, cz] = [positions[c]! - ox, positions[c + 1]! - oy, positions[c + 2]! - oz];
    sum += ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx);
  }
  return sum / 6;
}

/** Sum of the area vectors of the triangles at each vertex: its direction is the outward normal, its length twice their area. */
export function vertexNormals({ positions, triangles }: Mesh): Float64Array {
  const normals = new Float64Array(positions.length);
  for (let n = 0; n < triangles.length; n += 3) {
    const corners = [3 * triangles[n]!, 3 * triangles[n + 1]!, 3 * triangles[n + 2]!] as const;
    const area = areaVector(positions, ...corners);
    for (const corner of corners) for (let axis = 0; axis < 3; axis++) normals[corner + axis]! += area[axis]!;
  }
  return normals;
}

/** Outward, as long as twice the triangle's area; a, b and c are the places of its corners in `positions`. */
export function areaVector(positions: Float64Array, a: number, b: number, c: number): [number, number, number] {
  const [ux, uy, uz] = [positions[b]! - positions[a]!, positions[b + 1]! - positions[a + 1]!, positions[b + 2]! - positions[a + 2]!];
  const [vx, vy, vz] = [positions[c]! - positions[a]!, positions[c + 1]! - positions[a + 1]!, positions[c + 2]! - positions[a + 2]!];
  return [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
}
