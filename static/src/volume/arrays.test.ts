// Orientation, normalisation, labels back to native, components: small arrays, exact results.
import { describe, expect, it } from 'vitest';
import { invert, multiply } from './affine';
import { connectedComponents, type Connectivity } from './components';
import { labelCounts, labelsToNative, voxelVolumeMl } from './native';
import { histogram256, normalizationTable, normalize, quantile256 } from './normalize';
import { reorient, reorientedDims } from './orientation';
import type { Affine, Dims } from './volume';

describe('reordering axes', () => {
  const dims: Dims = [2, 3, 4];
  const data = Uint8Array.from({ length: 24 }, (_, n) => n);
  const codes = ['LIA', 'RAS', 'PSR', 'SAL', 'IRP'];

  it('brings LIA to RAS: i flipped, k becomes j, j flipped becomes k', () => {
    expect(reorientedDims(dims, 'LIA', 'RAS')).toEqual([2, 4, 3]);
    const out = reorient(data, dims, 'LIA', 'RAS');
    for (let k = 0; k < 3; k++) {
      for (let j = 0; j < 4; j++) {
        for (let i = 0; i < 2; i++) expect(out[i + 2 * (j + 4 * k)]).toBe(1 - i + 2 * (2 - k + 3 * j));
      }
    }
  });

  it('is undone by the reverse, for every kind of code', () => {
    for (const code of codes) {
      const there = reorient(data, dims, 'LIA', code);
      expect(reorient(there, reorientedDims(dims, 'LIA', code), code, 'LIA')).toEqual(data);
    }
  });

  it('copies, so that the source can be changed afterwards', () => {
    const out = reorient(data, dims, 'LIA', 'LIA');
    expect(out).toEqual(data);
    expect(out).not.toBe(data);
  });

  it('refuses codes that are no three axes', () => {
    for (const code of ['LLA', 'LI', 'LIAS', 'XYZ', '']) {
      expect(() => reorient(data, dims, 'LIA', code)).toThrow(`cannot reorder "LIA" to ${JSON.stringify(code)}`);
      expect(() => reorient(data, dims, code, 'LIA')).toThrow(RangeError);
    }
  });
});

describe('normalisation', () => {
  const data = Uint8Array.from([10, 20, 20, 40, 210]);

  it('minmax takes the extremes to 0 and 1', () => {
    expect(Array.from(normalize(data, { kind: 'minmax' }))).toEqual([0, 0.05, 0.05, 0.15, 1].map(Math.fround));
  });

  it('quantiles interpolate linearly between sorted voxels', () => {
    const counts = histogram256(data);
    expect([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1].map((q) => quantile256(counts, q))).toEqual([10, 14, 20, 20, 40, 142, 210].map((v) => expect.closeTo(v, 10) as number));
  });

  it('quantile is clipped to [0, 1] only where asked', () => {
    const low = 0.25;
    const high = 0.75;
    expect(Array.from(normalize(data, { kind: 'quantile', low, high, clip: true }))).toEqual([0, 0, 0, 1, 1]);
    expect(Array.from(normalize(data, { kind: 'quantile', low, high, clip: false }))).toEqual([-0.5, 0, 0, 1, 9.5]);
  });

  it('refuses an image without contrast', () => {
    expect(() => normalize(new Uint8Array(9).fill(3), { kind: 'minmax' })).toThrow('every voxel is 3');
    const nearlyBlank = new Uint8Array(1000);
    nearlyBlank[0] = 9;
    expect(() => normalizationTable(histogram256(nearlyBlank), { kind: 'quantile', low: 0.02, high: 0.98, clip: true })).toThrow(
      'its quantiles 0.02 and 0.98 are both 0',
    );
  });
});

describe('labels back to native', () => {
  const identity: Affine = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];
  const labels = { data: Uint8Array.from([1, 2, 3, 4]), dims: [4, 1, 1] as Dims, affineVox2ras: identity };
  const along = (scale: number, shift: number): Affine => [scale, 0, 0, shift, ...identity.slice(4)];

  it('takes the nearest label, the upper one at exact ties, and 0 outside', () => {
    expect(Array.from(labelsToNative(labels, [5, 1, 1], along(1, -0.5)))).toEqual([1, 2, 3, 4, 0]);
    expect(Array.from(labelsToNative(labels, [5, 1, 1], along(1, -0.6)))).toEqual([0, 1, 2, 3, 4]);
  });

  it('is not swayed by rounding noise at a tie', () => {
    for (const noise of [-4e-7, -1e-12, 1e-12, 4e-7]) {
      expect(Array.from(labelsToNative(labels, [4, 1, 1], along(1, 0.5 + noise)))).toEqual([2, 3, 4, 0]);
    }
  });

  it('counts voxels by label, and measures by the affine, not by the header', () => {
    expect(labelCounts(Uint8Array.from([0, 2, 2, 1, 2]), 4)).toEqual([1, 1, 3, 0]);
    expect(voxelVolumeMl([0, 0.9, 0, 1, -0.9, 0, 0, 2, 0, 0, -1.3, 3, 0, 0, 0, 1])).toBeCloseTo(0.001053, 12);
  });
});

describe('affines', () => {
  it('times their inverse are the identity', () => {
    const affine: Affine = [0.5, 0.3, 0, -3, 0, 2.1, 0.4, 6, 0.1, 0, -1.7, 9, 0, 0, 0, 1];
    multiply(affine, invert(affine)).forEach((value, n) => {
      expect(value).toBeCloseTo(n % 5 === 0 ? 1 : 0, 12);
    });
  });
});

describe('connected components', () => {
  /** Flood fill, the plain definition. */
  function naive(mask: Uint8Array, [nx, ny, nz]: Dims, connectivity: Connectivity): { labels: number[]; sizes: number[] } {
    const labels = new Array<number>(mask.length).fill(0);
    const sizes: number[] = [];
    const most = { 6: 1, 18: 2, 26: 3 }[connectivity];
    for (let start = 0; start < mask.length; start++) {
      if (mask[start] === 0 || labels[start] !== 0) continue;
      const label = sizes.push(0);
      const stack = [start];
      labels[start] = label;
      while (stack.length > 0) {
        const n = stack.pop()!;
        sizes[label - 1]!++;
        const [x, y, z] = [n % nx, Math.floor(n / nx) % ny, Math.floor(n / (nx * ny))];
        for (let d = 0; d < 27; d++) {
          const [dx, dy, dz] = [(d % 3) - 1, (Math.floor(d / 3) % 3) - 1, Math.floor(d / 9) - 1];
          const [u, v, w] = [x + dx, y + dy, z + dz];
          if (Math.abs(dx) + Math.abs(dy) + Math.abs(dz) > most) continue;
          if (u < 0 || v < 0 || w < 0 || u >= nx || v >= ny || w >= nz) continue;
          const m = u + nx * (v + ny * w);
          if (mask[m] !== 0 && labels[m] === 0) {
            labels[m] = label;
            stack.push(m);
          }
        }
      }
    }
    return { labels, sizes };
  }

  for (const connectivity of [6, 18, 26] as const) {
    it(`with ${connectivity} neighbours equal a flood fill on noise of any density`, () => {
      let state = 1;
      const random = (): number => (state = (state * 48271) % 2147483647) / 2147483647;
      for (const density of [0.05, 0.2, 0.35, 0.6]) {
        const dims: Dims = [13, 9, 11];
        const mask = Uint8Array.from({ length: 13 * 9 * 11 }, () => (random() < density ? 1 : 0));
        const wanted = naive(mask, dims, connectivity);
        const got = connectedComponents(mask, dims, connectivity);
        expect(Array.from(got.labels)).toEqual(wanted.labels);
        expect(got.sizes).toEqual(wanted.sizes);
      }
    });
  }
});
