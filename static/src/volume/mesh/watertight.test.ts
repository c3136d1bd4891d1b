import { expect, test } from 'vitest';
import { leakOf } from './watertight';

const TETRAHEDRON = { positions: new Float64Array([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]), triangles: Uint32Array.of(0, 2, 1, 0, 1, 3, 1, 2, 3, 0, 3, 2) };
const withTriangles = (...triangles: readonly number[]) => ({ ...TETRAHEDRON, triangles: Uint32Array.from(triangles) });

test('a closed mesh leaks nowhere; one with a hole, a turned triangle, a doubled triangle or a double corner does', () => {
  const all = Array.from(TETRAHEDRON.triangles);
  expect(leakOf(TETRAHEDRON)).toBeNull();
  expect(leakOf(withTriangles(...all.slice(3)))).toContain('has not one triangle on each side');
  expect(leakOf(withTriangles(0, 1, 2, ...all.slice(3)))).toContain('the edge between vertices');
  expect(leakOf(withTriangles(...all, ...all))).toContain('has not one triangle on each side');
  expect(leakOf(withTriangles(0, 0, 1, ...all))).toBe('triangle 0 has one corner twice');
});
