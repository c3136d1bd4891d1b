// Files of meshes, read back by the plain definitions of their formats.
import { expect, test } from 'vitest';
import { gunzip } from '../gzip';
import { encodeMesh } from './formats';
import { labelMesh } from './label-mesh';
import { labelsOf } from './test-meshes';

const mesh = labelMesh(labelsOf([8, 7, 6], [-1, 0, 0, 90, 0, 2, 0, -70, 0, 0, 3, 11, 0, 0, 0, 1], (x, y, z) => x > 1 && x < 5 && y > 2 && z > 2), [1], 'fine');
const vertices = Array.from(mesh.positions, Math.fround);
const corners = Array.from(mesh.triangles, (vertex) => vertices.slice(3 * vertex, 3 * vertex + 3));
const encode = (format: Parameters<typeof encodeMesh>[1]): Uint8Array => encodeMesh(mesh, format, 'left lesion', [255, 0, 128]);

test('STL has the corners of every triangle, and normals that point as they turn', () => {
  const bytes = encode('stl');
  const view = new DataView(bytes.buffer);
  expect(new TextDecoder().decode(bytes.slice(0, 5))).not.toBe('solid');
  expect(view.getUint32(80, true)).toBe(mesh.triangles.length / 3);
  expect(bytes.length).toBe(84 + (50 * mesh.triangles.length) / 3);
  for (let n = 0; n < mesh.triangles.length / 3; n++) {
    const [normal, a, b, c] = [0, 1, 2, 3].map((row) => [0, 1, 2].map((axis) => view.getFloat32(84 + 50 * n + 12 * row + 4 * axis, true))) as [number[], number[], number[], number[]];
    expect([a, b, c]).toEqual(corners.slice(3 * n, 3 * n + 3));
    const [u, v] = [b, c].map((corner) => corner.map((value, axis) => value - a[axis]!)) as [number[], number[]];
    const cross = [0, 1, 2].map((axis) => u[(axis + 1) % 3]! * v[(axis + 2) % 3]! - u[(axis + 2) % 3]! * v[(axis + 1) % 3]!);
    expect(Math.hypot(...normal)).toBeCloseTo(1, 5);
    expect(cross.reduce((sum, value, axis) => sum + value * normal[axis]!, 0) / Math.hypot(...cross)).toBeCloseTo(1, 3);
  }
});

test('OBJ counts vertices from 1', () => {
  const lines = new TextDecoder().decode(encode('obj')).split('\n');
  const rows = (kind: string): number[][] => lines.filter((line) => line.startsWith(`${kind} `)).map((line) => line.split(' ').slice(1).map(Number));
  expect(lines).toContain('o left_lesion');
  expect(rows('f').flat().map((vertex) => vertex - 1)).toEqual(Array.from(mesh.triangles));
  rows('v').flat().forEach((value, n) => { expect(value).toBeCloseTo(mesh.positions[n]!, 3); });
});

test('GLB has one mesh with bounds, normals and the label’s name and colour', () => {
  const bytes = encode('glb');
  const view = new DataView(bytes.buffer);
  expect([view.getUint32(0, true), view.getUint32(4, true), view.getUint32(8, true)]).toEqual([0x46546c67, 2, bytes.length]);
  const jsonBytes = view.getUint32(12, true);
  const json = JSON.parse(new TextDecoder().decode(bytes.slice(20, 20 + jsonBytes))) as {
    accessors: { count: number; min?: number[]; max?: number[] }[];
    bufferViews: { byteOffset: number; byteLength: number }[];
    buffers: { byteLength: number }[];
    materials: { name: string; pbrMetallicRoughness: { baseColorFactor: number[] } }[];
    asset: { extras: unknown };
  };
  const binary = bytes.slice(28 + jsonBytes);
  expect([view.getUint32(20 + jsonBytes, true), binary.length]).toEqual([json.buffers[0]!.byteLength, json.buffers[0]!.byteLength]);
  const part = (n: number): ArrayBuffer => binary.slice(json.bufferViews[n]!.byteOffset, json.bufferViews[n]!.byteOffset + json.bufferViews[n]!.byteLength).buffer;
  expect(Array.from(new Float32Array(part(0)))).toEqual(vertices);
  expect(Array.from(new Uint32Array(part(2)))).toEqual(Array.from(mesh.triangles));
  const normals = new Float32Array(part(1));
  for (let n = 0; n < normals.length; n += 3) expect(Math.hypot(normals[n]!, normals[n + 1]!, normals[n + 2]!)).toBeCloseTo(1, 5);
  const along = (axis: number): number[] => vertices.filter((_, n) => n % 3 === axis);
  expect(json.accessors[0]!.min).toEqual([0, 1, 2].map((axis) => Math.min(...along(axis))));
  expect(json.accessors[0]!.max).toEqual([0, 1, 2].map((axis) => Math.max(...along(axis))));
  expect(json.accessors.map(({ count }) => count)).toEqual([vertices.length / 3, vertices.length / 3, mesh.triangles.length]);
  expect(json.materials[0]).toMatchObject({ name: 'left lesion' });
  expect(json.materials[0]!.pbrMetallicRoughness.baseColorFactor.map((value) => Number(value.toFixed(3)))).toEqual([1, 0, 0.216, 1]);
  expect(json.asset.extras).toEqual({ space: 'RAS+', unit: 'mm' });
});

test('MZ3 has faces, then vertices', () => {
  const bytes = gunzip(encode('mz3'), 'mesh.mz3', 1e6);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  expect([view.getUint16(0, true), view.getUint16(2, true), view.getUint32(12, true)]).toEqual([0x5a4d, 3, 0]);
  const [faces, count] = [view.getUint32(4, true), view.getUint32(8, true)];
  expect(Array.from({ length: 3 * faces }, (_, n) => view.getInt32(16 + 4 * n, true))).toEqual(Array.from(mesh.triangles));
  expect(Array.from({ length: 3 * count }, (_, n) => view.getFloat32(16 + 12 * faces + 4 * n, true))).toEqual(vertices);
  expect(bytes.length).toBe(16 + 12 * faces + 12 * count);
});
