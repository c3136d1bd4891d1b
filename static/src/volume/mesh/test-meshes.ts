// Masks and measures for the tests of meshes.
import type { Affine, Dims, Volume } from '../volume';
import type { Mesh } from './mesh';

type Place = readonly [number, number, number];

/** Labels of 1 where `isInside`. */
export function labelsOf(dims: Dims, affineVox2ras: Affine, isInside: (x: number, y: number, z: number) => boolean): Volume<Uint8Array> {
  const [nx, ny] = dims;
  const data = Uint8Array.from({ length: nx * ny * dims[2] }, (_, n) => Number(isInside(n % nx, Math.floor(n / nx) % ny, Math.floor(n / (nx * ny)))));
  return { data, dims, affineVox2ras };
}

export function noise(dims: Dims, affineVox2ras: Affine, density: number): Volume<Uint8Array> {
  let state = 1 + Math.round(1e6 * density);
  return labelsOf(dims, affineVox2ras, () => (state = (state * 48271) % 2147483647) / 2147483647 < density);
}

export function volumeMm3({ data, affineVox2ras: [a, b, c, , d, e, f, , g, h, i] }: Volume<Uint8Array>): number {
  return Math.abs(a! * (e! * i! - f! * h!) - b! * (d! * i! - f! * g!) + c! * (d! * h! - e! * g!)) * data.reduce((sum, value) => sum + value, 0);
}

/** Vertices that lie where another one lies once they are 32-bit, as files have them. */
export function coincidences({ positions }: Mesh): number {
  const places = new Set<string>();
  for (let n = 0; n < positions.length; n += 3) places.add(Array.from(positions.slice(n, n + 3), Math.fround).join(' '));
  return positions.length / 3 - places.size;
}

/** Vertices whose triangles are not one ring: surfaces that touch in a point. */
export function pinched({ positions, triangles }: Mesh): number {
  const nextOf = Array.from({ length: positions.length / 3 }, () => new Map<number, number>());
  for (let n = 0; n < triangles.length; n += 3) {
    for (let corner = 0; corner < 3; corner++) nextOf[triangles[n + corner]!]!.set(triangles[n + ((corner + 1) % 3)]!, triangles[n + ((corner + 2) % 3)]!);
  }
  return nextOf.filter((next) => {
    const [first] = next.keys();
    let at = first;
    let steps = 0;
    do {
      at = next.get(at!);
      steps++;
    } while (at !== first && at !== undefined && steps <= next.size);
    return at === undefined || steps !== next.size;
  }).length;
}

/** Points on the triangles, at most about `stepMm` apart. */
export function samplesOf({ positions, triangles }: Mesh, stepMm: number): Place[] {
  const at = (vertex: number): Place => [positions[3 * vertex]!, positions[3 * vertex + 1]!, positions[3 * vertex + 2]!];
  const found: Place[] = [];
  for (let n = 0; n < triangles.length; n += 3) {
    const [a, b, c] = [at(triangles[n]!), at(triangles[n + 1]!), at(triangles[n + 2]!)];
    const longest = Math.max(distance(a, b), distance(b, c), distance(c, a));
    const steps = Math.max(1, Math.ceil(longest / stepMm));
    for (let i = 0; i <= steps; i++) {
      for (let j = 0; i + j <= steps; j++) {
        const [u, v] = [i / steps, j / steps];
        found.push([0, 1, 2].map((axis) => a[axis]! + u * (b[axis]! - a[axis]!) + v * (c[axis]! - a[axis]!)) as unknown as Place);
      }
    }
  }
  return found;
}

/** The largest distance in mm from a point of `from` to the nearest one of `to`; 1 where it is larger. */
export function directedHausdorffMm(from: readonly Place[], to: readonly Place[]): number {
  const cube = 1;
  const key = (x: number, y: number, z: number): number => x + 4096 * (y + 4096 * z);
  const cubeOf = (place: Place): Place => place.map((mm) => Math.floor(mm / cube) + 2048) as unknown as Place;
  const cubes = new Map<number, Place[]>();
  for (const place of to) {
    const at = key(...cubeOf(place));
    const list = cubes.get(at);
    if (list === undefined) cubes.set(at, [place]);
    else list.push(place);
  }
  let farthest = 0;
  for (const place of from) {
    const [x, y, z] = cubeOf(place);
    let nearest = cube; // farther points may lie in cubes that are not looked into
    for (let n = 0; n < 27 && nearest > 0.1; n++) {
      for (const other of cubes.get(key(x + (n % 3) - 1, y + (Math.floor(n / 3) % 3) - 1, z + Math.floor(n / 9) - 1)) ?? []) nearest = Math.min(nearest, distance(place, other));
    }
    farthest = Math.max(farthest, nearest);
  }
  return farthest;
}


function distance(a: Place, b: Place): number {
  return Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
}
