// Binary STL: 80 bytes of text, the number of triangles, then per triangle its normal, its corners and two bytes; all
// little-endian (Marshall Burns, Automated Fabrication, 1993, section 6.5).
import { areaVector } from './mesh';
import type { Mesh } from './mesh';

const HEADER_BYTES = 80;
const TRIANGLE_BYTES = 50;

/** The mesh in its own millimetres. A header that starts with "solid" would be read as text. */
export function encodeStl({ positions, triangles }: Mesh): Uint8Array {
  const count = triangles.length / 3;
  const bytes = new Uint8Array(HEADER_BYTES + 4 + TRIANGLE_BYTES * count);
  bytes.set(new TextEncoder().encode('MeshNet binary STL, RAS+ scanner coordinates in mm'));
  const view = new DataView(bytes.buffer);
  view.setUint32(HEADER_BYTES, count, true);
  for (let n = 0; n < count; n++) {
    const corners = [3 * triangles[3 * n]!, 3 * triangles[3 * n + 1]!, 3 * triangles[3 * n + 2]!] as const;
    const area = areaVector(positions, ...corners);
    const length = Math.hypot(...area) || 1;
    let at = HEADER_BYTES + 4 + TRIANGLE_BYTES * n;
    const put = (value: number): void => {
      view.setFloat32(at, value, true);
      at += 4;
    };
    for (const value of area) put(value / length);
    for (const corner of corners) for (let axis = 0; axis < 3; axis++) put(positions[corner + axis]!);
  }
  return bytes;
}
