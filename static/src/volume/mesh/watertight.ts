// The check that a mesh is watertight, and its neighbourhoods.
import type { Mesh } from './mesh';

/** Why the mesh is not watertight; null where each edge has exactly two triangles, which run through it in opposite directions. */
export function leakOf({ positions, triangles }: Mesh): string | null {
  const vertices = positions.length / 3;
  const keys = new Float64Array(triangles.length);
  for (let n = 0; n < triangles.length; n++) {
    const [a, b] = [triangles[n]!, triangles[n % 3 === 2 ? n - 2 : n + 1]!];
    if (a === b) return `triangle ${Math.floor(n / 3)} has one corner twice`;
    // The direction is the lowest bit: the two triangles of an edge are neighbours in the sorted list.
    keys[n] = 2 * (Math.min(a, b) * vertices + Math.max(a, b)) + Number(a > b);
  }
  keys.sort();
  for (let n = 0; n < keys.length; n += 2) {
    const [one, other] = [keys[n]!, keys[n + 1]];
    if (other !== one + 1 || one % 2 !== 0 || keys[n + 2] === other) {
      const edge = Math.floor(one / 2);
      return `the edge between vertices ${Math.floor(edge / vertices)} and ${edge % vertices} has not one triangle on each side`;
    }
  }
  return null;
}
