// Binary glTF 2.0 (specification of the Khronos Group): one mesh with normals and a colour.
import { vertexNormals } from './mesh';
import type { Mesh } from './mesh';

/** A label's colour, 0…255. */
export type Colour = readonly [red: number, green: number, blue: number];

const [FLOAT, UNSIGNED_INT] = [5126, 5125];
const [ARRAY_BUFFER, ELEMENT_ARRAY_BUFFER] = [34962, 34963];

/**
 * The mesh in its own millimetres and axes, as in the other formats; `asset.extras` says so, because glTF itself means metres with
 * y upwards.
 */
export function encodeGlb(mesh: Mesh, name: string, colour: Colour): Uint8Array {
  const positions = Float32Array.from(mesh.positions);
  const normals = unitNormals(mesh);
  const { triangles } = mesh;
  const vertices = positions.length / 3;
  const binary = [positions, normals, triangles].map((array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  const [min, max] = bounds(positions);
  const description = {
    asset: { version: '2.0', generator: 'MeshNet', extras: { space: 'RAS+', unit: 'mm' } },
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0, name }],
    materials: [{ name, pbrMetallicRoughness: { baseColorFactor: [...colour.map(linear), 1], metallicFactor: 0, roughnessFactor: 0.7 } }],
    meshes: [{ name, primitives: [{ attributes: { POSITION: 0, NORMAL: 1 }, indices: 2, material: 0 }] }],
    accessors: [
      { bufferView: 0, componentType: FLOAT, count: vertices, type: 'VEC3', min, max },
      { bufferView: 1, componentType: FLOAT, count: vertices, type: 'VEC3' },
      { bufferView: 2, componentType: UNSIGNED_INT, count: triangles.length, type: 'SCALAR' },
    ],
    bufferViews: binary.map(({ byteLength }, n) => ({
      buffer: 0,
      byteOffset: binary.slice(0, n).reduce((sum, part) => sum + part.byteLength, 0),
      byteLength,
      target: n === 2 ? ELEMENT_ARRAY_BUFFER : ARRAY_BUFFER,
    })),
    buffers: [{ byteLength: binary.reduce((sum, { byteLength }) => sum + byteLength, 0) }],
  };
  const json = new TextEncoder().encode(JSON.stringify(description));
  // Chunks begin at multiples of 4 bytes; text is filled up with spaces.
  const padded = new Uint8Array(4 * Math.ceil(json.length / 4)).fill(0x20);
  padded.set(json);
  return glb(padded, binary);
}

function glb(json: Uint8Array, binary: readonly Uint8Array[]): Uint8Array {
  const binaryBytes = binary.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const bytes = new Uint8Array(12 + 8 + json.length + 8 + binaryBytes);
  const view = new DataView(bytes.buffer);
  let at = 0;
  const put = (...words: readonly number[]): void => {
    for (const word of words) view.setUint32((at += 4) - 4, word, true);
  };
  put(0x46546c67, 2, bytes.length); // "glTF"
  put(json.length, 0x4e4f534a); // "JSON"
  bytes.set(json, at);
  at += json.length;
  put(binaryBytes, 0x004e4942); // "BIN"
  for (const part of binary) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

function unitNormals(mesh: Mesh): Float32Array {
  const normals = vertexNormals(mesh);
  for (let n = 0; n < normals.length; n += 3) {
    const length = Math.hypot(normals[n]!, normals[n + 1]!, normals[n + 2]!);
    // glTF allows no normal without a direction.
    if (length === 0) normals.set([0, 0, 1], n);
    else for (let axis = 0; axis < 3; axis++) normals[n + axis]! /= length;
  }
  return Float32Array.from(normals);
}

function bounds(positions: Float32Array): [number[], number[]] {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let n = 0; n < positions.length; n++) {
    low[n % 3] = Math.min(low[n % 3]!, positions[n]!);
    high[n % 3] = Math.max(high[n % 3]!, positions[n]!);
  }
  return [low, high];
}

/** From sRGB, 0…255, to the linear scale, 0…1, of glTF. */
function linear(value: number): number {
  const share = value / 255;
  return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
}
