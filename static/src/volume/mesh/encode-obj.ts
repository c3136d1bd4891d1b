// Wavefront OBJ: text, vertices counted from 1.
import type { Mesh } from './mesh';

/** The mesh in its own millimetres, to 0.1 µm. */
export function encodeObj({ positions, triangles }: Mesh, name: string): Uint8Array {
  const lines = ['# MeshNet, RAS+ scanner coordinates in mm', `o ${name.replace(/\s+/g, '_')}`];
  for (let n = 0; n < positions.length; n += 3) lines.push(`v ${positions[n]!.toFixed(4)} ${positions[n + 1]!.toFixed(4)} ${positions[n + 2]!.toFixed(4)}`);
  for (let n = 0; n < triangles.length; n += 3) lines.push(`f ${triangles[n]! + 1} ${triangles[n + 1]! + 1} ${triangles[n + 2]! + 1}`);
  return new TextEncoder().encode(`${lines.join('\n')}\n`);
}
