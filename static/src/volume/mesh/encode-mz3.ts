// MZ3, the mesh format of Surfice and NiiVue (https://github.com/neurolabusc/surf-ice/tree/master/mz3), compressed.
import { gzip } from '../gzip';
import type { Mesh } from './mesh';

const MAGIC = 0x5a4d;
const HAS_FACES = 1;
const HAS_VERTICES = 2;
const HEADER_BYTES = 16;

/** The mesh in its own millimetres. */
export function encodeMz3({ positions, triangles }: Mesh): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + 4 * (triangles.length + positions.length));
  const view = new DataView(bytes.buffer);
  view.setUint16(0, MAGIC, true);
  view.setUint16(2, HAS_FACES + HAS_VERTICES, true);
  view.setUint32(4, triangles.length / 3, true);
  view.setUint32(8, positions.length / 3, true);
  view.setUint32(12, 0, true); // bytes to skip
  triangles.forEach((vertex, n) => { view.setInt32(HEADER_BYTES + 4 * n, vertex, true); });
  positions.forEach((value, n) => { view.setFloat32(HEADER_BYTES + 4 * (triangles.length + n), value, true); });
  return gzip(bytes);
}
