// The surface of a mask: the faces between voxels inside and outside. Each corner of the faces gets one vertex per sheet of
// the surface that passes through it, so that the surface stays watertight where voxels touch by an edge or a corner. (With
// one vertex per corner, an edge that two voxels share would have four triangles.) Voxels that share no face are apart, as
// in the list of separate pieces.
//
// This is the dual of surface nets (Gibson 1998, doi:10.1007/BFb0056277). Marching cubes would cut the corners off: sheets
// one voxel thick lose volume and break.
import type { Dims } from '../volume';
import type { Mesh } from './mesh';

/** Directions of a face: +x, −x, +y, −y, +z, −z. */
const DIRECTIONS = [0, 1, 2, 3, 4, 5] as const;

/** The in-plane directions behind the edges of a face of each direction, counter-clockwise seen from outside. */
const SIDES: readonly (readonly number[])[] = DIRECTIONS.map((direction) => {
  const [u, v] = [(2 * (direction >> 1) + 2) % 6, (2 * (direction >> 1) + 4) % 6];
  return isPositive(direction) ? [v + 1, u, v, u + 1] : [u + 1, v, u, v + 1];
});

/** SIDES by direction: the edge of a face that has this side; −1 for none. */
const EDGE_OF_SIDE: readonly (readonly number[])[] = SIDES.map((sides) => DIRECTIONS.map((direction) => sides.indexOf(direction)));

/** Split vertices move this share of the way to the middle of their faces, so that no two lie at one place. */
const SPLIT_SHIFT = 0.02;

/** A mask in a box with at least one empty voxel around it: no face looks out of the box. */
export interface PaddedMask {
  /** Not 0 inside. */
  readonly mask: Uint8Array;
  readonly dims: Dims;
}

/** The surface of the mask, watertight, in voxel coordinates (the middle of the first voxel is 0, 0, 0). */
export function voxelSurface(padded: PaddedMask): Mesh {
  const faces = boundaryFaces(padded);
  const twins = twinEdges(padded, faces);
  const { vertexOf, count } = cornerVertices(twins.twin);
  return triangulated(padded, faces, twins, vertexOf, count);
}

/** Faces as 6 · voxel + direction, ascending. */
function boundaryFaces({ mask, dims }: PaddedMask): Uint32Array {
  const steps = stepsOf(dims);
  let count = 0;
  const each = (visit: (face: number) => void): void => {
    for (let voxel = 0; voxel < mask.length; voxel++) {
      if (mask[voxel] === 0) continue;
      for (const direction of DIRECTIONS) if (mask[voxel + steps[direction]!] === 0) visit(6 * voxel + direction);
    }
  };
  each(() => { count++; });
  const faces = new Uint32Array(count);
  count = 0;
  each((face) => { faces[count++] = face; });
  return faces;
}

interface Twins {
  /** By 4 · face + edge: the same edge seen from the neighbouring face. */
  readonly twin: Uint32Array;
  /** By 4 · face + edge: 1 where two sheets share the place of this edge. */
  readonly isShared: Uint8Array;
}

/** Joins each face to its neighbour behind each of its edges. */
function twinEdges({ mask, dims }: PaddedMask, faces: Uint32Array): Twins {
  const steps = stepsOf(dims);
  const twin = new Uint32Array(4 * faces.length);
  const isShared = new Uint8Array(4 * faces.length);
  for (let n = 0; n < faces.length; n++) {
    const direction = faces[n]! % 6;
    const voxel = (faces[n]! - direction) / 6;
    for (let edge = 0; edge < 4; edge++) {
      const side = SIDES[direction]![edge]!;
      const beside = voxel + steps[side]!;
      const above = beside + steps[direction]!;
      // The neighbour is another face of this voxel, a face in the same plane, or one that rises from it.
      const [owner, faceDirection, back] = mask[beside] === 0 ? [voxel, side, direction] : mask[above] === 0 ? [beside, direction, opposite(side)] : [above, opposite(side), opposite(direction)];
      twin[4 * n + edge] = 4 * placeOf(faces, 6 * owner + faceDirection) + EDGE_OF_SIDE[faceDirection]![back]!;
      isShared[4 * n + edge] = Number(mask[beside] === 0 && mask[above] !== 0);
    }
  }
  return { twin, isShared };
}

/** A vertex for each sheet at each corner: goes around the corner from face to face. By 4 · face + corner. */
function cornerVertices(twin: Uint32Array): { readonly vertexOf: Int32Array; readonly count: number } {
  const vertexOf = new Int32Array(twin.length).fill(-1);
  let count = 0;
  for (let start = 0; start < twin.length; start++) {
    if (vertexOf[start] !== -1) continue;
    // Edge n of a face starts at its corner n. Seen from the neighbour the edge ends there, so the next one starts there.
    for (let corner = start; vertexOf[corner] === -1; corner = nextEdge(twin[corner]!)) vertexOf[corner] = count;
    count++;
  }
  return { vertexOf, count };
}

/** Two triangles per face; one with an edge that two sheets share gets vertices in the middle of it and of that edge. */
function triangulated({ dims }: PaddedMask, faces: Uint32Array, { twin, isShared }: Twins, vertexOf: Int32Array, corners: number): Mesh {
  const positions: number[] = new Array<number>(3 * corners).fill(0);
  const triangles: number[] = [];
  const middleOf = new Map<number, number>();
  const add = (x: number, y: number, z: number): number => positions.push(x, y, z) / 3 - 1;
  const sums = new Float64Array(4 * corners); // of the middles of the faces at each corner, and their number
  for (let n = 0; n < faces.length; n++) {
    const middle = middleOfFace(faces[n]!, dims);
    const around: number[] = [];
    for (let edge = 0; edge < 4; edge++) {
      const vertex = vertexOf[4 * n + edge]!;
      const corner = cornerPlace(middle, faces[n]! % 6, edge);
      for (let axis = 0; axis < 3; axis++) {
        positions[3 * vertex + axis] = corner[axis]!;
        sums[4 * vertex + axis]! += middle[axis]!;
      }
      sums[4 * vertex + 3]!++;
      around.push(vertex);
      if (isShared[4 * n + edge] === 0) continue;
      const [low, high] = [Math.min(4 * n + edge, twin[4 * n + edge]!), Math.max(4 * n + edge, twin[4 * n + edge]!)];
      const known = middleOf.get(low);
      if (known !== undefined) around.push(known);
      else {
        const [one, other] = [middle, middleOfFace(faces[high >> 2]!, dims)];
        const next = cornerPlace(middle, faces[n]! % 6, (edge + 1) % 4);
        const [x, y, z] = [0, 1, 2].map((axis) => shifted((corner[axis]! + next[axis]!) / 2, (one[axis]! + other[axis]!) / 2)) as [number, number, number];
        const added = add(x, y, z);
        middleOf.set(low, added);
        around.push(added);
      }
    }
    if (around.length === 4) triangles.push(around[0]!, around[1]!, around[2]!, around[0]!, around[2]!, around[3]!);
    else {
      const centre = add(...middle);
      around.forEach((vertex, at) => { triangles.push(centre, vertex, around[(at + 1) % around.length]!); });
    }
  }
  separate(positions, sums, corners, dims);
  return { positions: Float64Array.from(positions), triangles: Uint32Array.from(triangles) };
}

/** Moves vertices that lie at one place apart, each to the middle of the faces around it. */
function separate(positions: number[], sums: Float64Array, corners: number, [nx, ny]: Dims): void {
  const firstAt = new Map<number, number>();
  const split = new Set<number>();
  for (let vertex = 0; vertex < corners; vertex++) {
    // Corners lie at half voxels, so this is the place among all corners of the box.
    const key = positions[3 * vertex]! + nx * (positions[3 * vertex + 1]! + ny * positions[3 * vertex + 2]!);
    const first = firstAt.get(key);
    if (first === undefined) firstAt.set(key, vertex);
    else split.add(first).add(vertex);
  }
  for (const vertex of split) {
    for (let axis = 0; axis < 3; axis++) {
      const mean = sums[4 * vertex + axis]! / sums[4 * vertex + 3]!;
      positions[3 * vertex + axis] = shifted(positions[3 * vertex + axis]!, mean);
    }
  }
}

function shifted(from: number, to: number): number {
  return from + SPLIT_SHIFT * (to - from);
}

type Place = [number, number, number];

function middleOfFace(face: number, [nx, ny]: Dims): Place {
  const direction = face % 6;
  const voxel = (face - direction) / 6;
  const place: Place = [voxel % nx, Math.floor(voxel / nx) % ny, Math.floor(voxel / (nx * ny))];
  place[direction >> 1]! += isPositive(direction) ? 0.5 : -0.5;
  return place;
}

/** Corner n of a face lies between its sides n − 1 and n. */
function cornerPlace(middle: Place, direction: number, corner: number): Place {
  const place: Place = [...middle];
  for (const side of [SIDES[direction]![corner]!, SIDES[direction]![(corner + 3) % 4]!]) place[side >> 1]! += isPositive(side) ? 0.5 : -0.5;
  return place;
}

/** Place of a face in the ascending list. */
function placeOf(faces: Uint32Array, face: number): number {
  let [low, high] = [0, faces.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (faces[middle]! < face) low = middle + 1;
    else high = middle;
  }
  return low;
}

function nextEdge(edge: number): number {
  return (edge & ~3) | ((edge + 1) & 3);
}

function stepsOf([nx, ny]: Dims): readonly number[] {
  return [1, -1, nx, -nx, nx * ny, -nx * ny];
}

function opposite(direction: number): number {
  return direction ^ 1;
}

function isPositive(direction: number): boolean {
  return direction % 2 === 0;
}
