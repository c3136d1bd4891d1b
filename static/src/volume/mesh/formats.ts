// The file formats of meshes.
import { encodeGlb } from './encode-glb';
import type { Colour } from './encode-glb';
import { encodeMz3 } from './encode-mz3';
import { encodeObj } from './encode-obj';
import { encodeStl } from './encode-stl';
import type { Mesh } from './mesh';

export type MeshFormat = 'stl' | 'obj' | 'glb' | 'mz3';

/** The file of the mesh. `name` and `colour`, of the label, are kept by the formats that have a place for them. */
export function encodeMesh(mesh: Mesh, format: MeshFormat, name: string, colour: Colour): Uint8Array {
  if (format === 'obj') return encodeObj(mesh, name);
  if (format === 'glb') return encodeGlb(mesh, name, colour);
  return format === 'mz3' ? encodeMz3(mesh) : encodeStl(mesh);
}
