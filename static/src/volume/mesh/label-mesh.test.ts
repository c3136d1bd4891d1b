// Meshes of hard masks: watertight, in scanner millimetres, with the volume and the shape of the voxels.
import { describe, expect, test } from 'vitest';
import { apply, determinant } from '../affine';
import type { Affine, Dims, Volume } from '../volume';
import { labelMesh } from './label-mesh';
import { enclosedVolumeMm3 } from './mesh';
import type { Mesh } from './mesh';
import { piecesOf } from './pieces';
import type { MeshQuality } from './quality';
import { coincidences, directedHausdorffMm, labelsOf, noise, pinched, samplesOf, volumeMm3 } from './test-meshes';
import { leakOf } from './watertight';

const IDENTITY: Affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
/** Oblique, flipped, voxels of about 0.9 × 1.1 × 2.5 mm. */
const OBLIQUE: Affine = [-0.85, 0.2, 0.5, 40, 0.25, 1.05, -0.3, -60, 0.15, -0.25, 2.42, 25, 0, 0, 0, 1];
const QUALITIES: readonly MeshQuality[] = ['fine', 'medium', 'coarse'];

function expectSound(mesh: Mesh): void {
  expect(leakOf(mesh)).toBeNull();
  expect(pinched(mesh)).toBe(0);
  expect(coincidences(mesh)).toBe(0);
}

const voxels = (...places: readonly string[]) => (x: number, y: number, z: number): boolean => places.includes(`${x} ${y} ${z}`);

const DIMS: Dims = [12, 11, 10];
const HARD: readonly (readonly [string, Volume<Uint8Array>])[] = [
  ['a single voxel', labelsOf(DIMS, IDENTITY, voxels('5 5 5'))],
  ['two voxels that touch by an edge', labelsOf(DIMS, IDENTITY, voxels('5 5 5', '6 6 5'))],
  ['two voxels that touch by a corner', labelsOf(DIMS, IDENTITY, voxels('5 5 5', '6 6 6'))],
  ['a ring whose ends touch by an edge', labelsOf(DIMS, IDENTITY, voxels('5 5 5', '6 6 5', '5 5 6', '6 5 6', '6 6 6'))],
  ['cavities that touch by an edge and a corner', labelsOf(DIMS, IDENTITY, (x, y, z) => x > 0 && x < 11 && y > 0 && y < 10 && z > 0 && z < 9 && !voxels('5 5 5', '6 6 5', '7 7 6')(x, y, z))],
  ['the whole volume', labelsOf(DIMS, IDENTITY, () => true)],
  ['a checkerboard', labelsOf([5, 4, 4], IDENTITY, (x, y, z) => (x + y + z) % 2 === 0)],
  ['a torus at the border of the volume', labelsOf(DIMS, OBLIQUE, (x, y, z) => Math.hypot(Math.hypot(x - 5.5, y - 5) - 4, z) < 2)],
  ...[0.02, 0.2, 0.5, 0.8, 0.97].map((density) => [`noise, ${100 * density} % inside`, noise(DIMS, OBLIQUE, density)] as const),
];

describe('a mesh is watertight, of any quality', () => {
  test.each(HARD)('of %s', (_, labels) => {
    for (const quality of QUALITIES) expectSound(labelMesh(labels, [1], quality));
  });

  test('and keeps every piece, cavity and hole', () => {
    const [, cavities] = HARD[4]!;
    const [, torus] = HARD[7]!;
    const balls = labelsOf([40, 20, 20], IDENTITY, (x, y, z) => Math.hypot(x - 10, y - 10, z - 10) < 7 || Math.hypot(x - 30, y - 10, z - 10) < 2.5 || voxels('20 10 10')(x, y, z));
    for (const quality of QUALITIES) {
      expect(piecesOf(labelMesh(cavities, [1], quality)).map((piece) => Math.sign(enclosedVolumeMm3(piece)))).toContain(-1);
      const ring = labelMesh(torus, [1], quality);
      expect(ring.positions.length / 3 - ring.triangles.length / 6).toBe(0); // Euler's number: V − E + F = 0 for a torus
      expect(piecesOf(labelMesh(balls, [1], quality))).toHaveLength(3);
    }
  });
});

describe('at fine, a mesh', () => {
  const radiusMm = 20;
  const centreMm = apply(OBLIQUE, [32, 30, 12]);
  const ball = labelsOf([64, 60, 24], OBLIQUE, (x, y, z) => Math.hypot(...apply(OBLIQUE, [x, y, z]).map((mm, axis) => mm - centreMm[axis]!)) < radiusMm);

  test('has the volume of the voxels and lies in scanner millimetres, with outward normals, on a flipped oblique grid', () => {
    expect(determinant(OBLIQUE)).toBeLessThan(0);
    const mesh = labelMesh(ball, [1], 'fine');
    expect(enclosedVolumeMm3(mesh) / volumeMm3(ball)).toBeCloseTo(1, 2);
    for (let n = 0; n < mesh.positions.length; n += 3) {
      const radius = Math.hypot(...[0, 1, 2].map((axis) => mesh.positions[n + axis]! - centreMm[axis]!));
      expect(Math.abs(radius - radiusMm)).toBeLessThan(2); // half a slice and the curvature
    }
  });

  test('of noise has the volume of the voxels within 2 %', () => {
    for (const density of [0.05, 0.2, 0.5, 0.8]) {
      const labels = noise([16, 15, 14], IDENTITY, density);
      expect(Math.abs(enclosedVolumeMm3(labelMesh(labels, [1], 'fine')) / volumeMm3(labels) - 1)).toBeLessThan(0.02);
    }
  });

  test('takes several labels as one', () => {
    const labels = { ...ball, data: ball.data.map((value, n) => value * (1 + (n % 2))) };
    expect(labelMesh(labels, [1, 2], 'medium')).toEqual(labelMesh(ball, [1], 'medium'));
    expect(() => labelMesh(labels, [3], 'fine')).toThrow('no voxel has this label');
  });
});

describe('gyri are not lost', () => {
  /** A folded sheet like cortex: one voxel of 1 mm thick in places, folds 4 voxels apart, on the given grid. */
  const sheet = (dims: Dims, affine: Affine): Volume<Uint8Array> =>
    labelsOf(dims, affine, (x, y, z) => {
      if (x < 2 || y < 2 || z < 2 || x > dims[0] - 3 || y > dims[1] - 3 || z > dims[2] - 3) return false;
      const depth = z - 14 - 8 * Math.sin((2 * Math.PI * x) / 9) - 2 * Math.sin(y / 3);
      return depth > 0 && depth < 3;
    });
  const plate = labelsOf([16, 15, 9], IDENTITY, (x, y, z) => z === 4 && x > 1 && x < 14 && y > 1 && y < 13);

  test.each([
    ['folds of 1 mm voxels', sheet([22, 14, 28], IDENTITY)],
    ['folds of oblique 0.9 × 1.1 × 2.5 mm voxels', sheet([22, 12, 28], OBLIQUE)],
    ['a plate one voxel thick', plate],
  ])('%s: the surface of the voxels and the fine mesh are within 1 mm of each other', (_, labels) => {
    const surface = cubes(labels);
    const mesh = labelMesh(labels, [1], 'fine');
    const hausdorffMm = Math.max(directedHausdorffMm(samplesOf(surface, 0.8), samplesOf(mesh, 0.4)), directedHausdorffMm(samplesOf(mesh, 0.8), samplesOf(surface, 0.4)));
    expect(hausdorffMm).toBeGreaterThan(0);
    expect(hausdorffMm).toBeLessThan(1);
    expect(Math.abs(enclosedVolumeMm3(mesh) / volumeMm3(labels) - 1)).toBeLessThan(0.02);
  });
});

/** The faces between voxels inside and outside, as triangles that share no vertices, by the plain definition. */
function cubes({ data, dims: [nx, ny, nz], affineVox2ras }: Volume<Uint8Array>): Mesh {
  const inside = (x: number, y: number, z: number): boolean => x >= 0 && y >= 0 && z >= 0 && x < nx && y < ny && z < nz && data[x + nx * (y + ny * z)] !== 0;
  const positions: number[] = [];
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++) {
        if (!inside(x, y, z)) continue;
        for (let axis = 0; axis < 3; axis++) {
          for (const sign of [-1, 1]) {
            const step = [0, 1, 2].map((a) => (a === axis ? sign : 0)) as [number, number, number];
            if (inside(x + step[0], y + step[1], z + step[2])) continue;
            const corner = (u: number, v: number): [number, number, number] => {
              const shift = [0, 0, 0] as [number, number, number];
              [shift[axis], shift[(axis + 1) % 3], shift[(axis + 2) % 3]] = [sign / 2, u / 2, v / 2];
              return apply(affineVox2ras, [x + shift[0], y + shift[1], z + shift[2]]);
            };
            for (const [u, v] of [[-1, -1], [1, -1], [1, 1], [-1, -1], [1, 1], [-1, 1]] as const) positions.push(...corner(u, v));
          }
        }
      }
    }
  }
  return { positions: Float64Array.from(positions), triangles: Uint32Array.from({ length: positions.length / 3 }, (_, n) => n) };
}
