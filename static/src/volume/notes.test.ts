// Notes of reading, one fault per file, and the numbers in their sentences.
import { describe, expect, test } from 'vitest';
import { gzip } from './gzip';
import { readScan, type Scan } from './nifti';
import { bytesOf, makeNifti, SMALL, SMALL_SROW, type Example } from './nifti-example';
import { fixed, general, note, percent } from './notes';

/** 3 × 4 × 5 float32 voxels with values that no label has. */
const VALUES = Array.from({ length: 60 }, (_, n) => n + 0.5);
const FLOAT: Example = { datatype: 16, bitpix: 32, voxels: bytesOf(VALUES, 16) };

function read(example: Example, name = 'scan.nii'): Scan {
  return readScan([{ name, bytes: makeNifti({ ...FLOAT, ...example }) }]);
}

function codes(example: Example): string[] {
  return read(example).notes.map(({ code }) => code);
}

describe('numbers in notes are those that Python prints', () => {
  test('shares have two significant digits and no exponent', () => {
    expect([0, 1.173e-5, 0.00125, 0.0556, 0.125, 0.135, 0.999, 1].map(percent)).toEqual(
      ['0 %', '0.0012 %', '0.12 %', '5.6 %', '12 %', '14 %', '100 %', '100 %']);
  });

  test('decimals are fixed, ties go to the even digit, and zero has no sign', () => {
    expect([0.25, 0.75, -0.25, -0.04, 57].map((x) => fixed(x, 1))).toEqual(['0.2', '0.8', '-0.2', '0.0', '57.0']);
    expect([0.5, 1.5, 2.5, 427.4].map((x) => fixed(x, 0))).toEqual(['0', '2', '2', '427']);
  });

  test('intensities have four significant digits', () => {
    expect([0, -32768, 1234, 1234.5, 1235.5, 0.5, 1e30, -0.00001234, 1e-4, 99999, 9999.5, NaN, Infinity].map(general)).toEqual(
      ['0', '-3.277e+04', '1234', '1234', '1236', '0.5', '1e+30', '-1.234e-05', '0.0001', '1e+05', '1e+04', 'nan', 'inf']);
  });

  test('a sentence holds them', () => {
    expect(note('third-of-head', 427.4, 0.354, true).text).toBe('427 mL of lesion were labelled, 35 % of the head; check the contrast and the picture');
    expect(note('third-of-head', 1600, 1.06, false).text).toBe('1600 mL were labelled, 106 % of the head; check the contrast and the picture');
    expect(note('lesion-outside-brain', 27.512).text).toBe('27.51 mL of lesion lay mostly outside the brain that the model labelled and were dropped');
  });
});

describe('a scan is read with a note where', () => {
  test('nothing is wrong: none', () => {
    expect(codes({})).toEqual([]);
  });

  test('voxels are NaN: they become 0', () => {
    const scan = read({ voxels: bytesOf(VALUES.map((value, n) => (n < 15 ? NaN : value)), 16) });
    expect(scan.notes).toEqual([{ code: 'nan-read-as-zero', text: '25 % of the voxels are NaN; they are read as 0', numbers: [0.25] }]);
    expect(Array.from(scan.data.slice(13, 17))).toEqual([0, 0, 15.5, 16.5]);
  });

  test.each([[1, 'units-metre', 2000], [3, 'units-micron', 0.002], [0, undefined, 2], [2, undefined, 2], [10, undefined, 2]] as const)(
    'xyzt_units is %i: %s, and a voxel is %f mm wide', (units, code, width) => {
      const scan = read({ units });
      expect(scan.notes[0]?.code).toBe(code);
      expect(scan.affineVox2ras[0]).toBeCloseTo(width, 12);
      expect(scan.affineVox2ras[15]).toBe(1);
      expect(scan.header.pixdim[1]).toBe(2);
    });

  test('neither form is set: voxel sizes about the centre', () => {
    expect(codes({ sformCode: 0 })).toEqual(['no-forms']);
  });

  test('the forms are mirror images, or turned by half a turn about the vertical', () => {
    expect(codes({ qformCode: 2, pixdim: [-1, 2, 3, 4, 1, 1, 1, 1] })).toEqual(['forms-disagree']);
    expect(codes({ qformCode: 2, quatern: [0, 0, 1] })).toEqual(['forms-disagree']);
    expect(codes({ qformCode: 2 })).toEqual([]);
    expect(codes({ qformCode: 0, quatern: [0, 0, 1] })).toEqual([]);
  });

  test('the sform cannot be used: the qform is used', () => {
    const scan = read({ srow: new Array<number>(12).fill(0), qformCode: 1, qoffset: [5, 6, 7] });
    expect(scan.notes.map(({ code }) => code)).toEqual(['sform-unusable']);
    expect(scan.affineVox2ras).toEqual([2, 0, 0, 5, 0, 3, 0, 6, 0, 0, 4, 7, 0, 0, 0, 1]);
    expect(() => read({ srow: new Array<number>(12).fill(0) })).toThrow(/affine is singular/);
  });

  test.each(['ni1\0', 'ni2\0'])('one file has the magic of a pair (%j)', (magic) => {
    const version = magic === 'ni1\0' ? 1 : 2;
    const scan = read({ version, magic });
    expect(scan.notes.map(({ code }) => code)).toEqual(['magic-of-a-pair']);
    expect(Array.from(scan.data)).toEqual(VALUES);
    expect(() => read({ version, magic }, 'scan.hdr')).toThrow(/without its voxels/);
  });

  test('dim[4] or dim[5] is 0: it is read as 1', () => {
    expect(read({ dims: [...SMALL, 0] }).notes).toEqual([{ code: 'dim-zero', text: 'dim[4] is 0; it is read as 1', numbers: [4] }]);
    expect(codes({ dims: [...SMALL, 1, 0] })).toEqual(['dim-zero']);
    expect(() => read({ dims: [3, 0, 5] })).toThrow(/no 3-D head scan/);
  });

  test('its values are few small integers', () => {
    const labels = bytesOf(VALUES.map((_, n) => n % 3), 16);
    expect(codes({ voxels: labels })).toEqual(['label-like']);
    expect(codes({ voxels: bytesOf(VALUES.map((_, n) => (n % 3) - 1), 16) })).toEqual(['few-values']);
  });
});

test('a quaternion a hair too long is read, a longer one refused', () => {
  const turned = (square: number): Example => ({ version: 2, sformCode: 0, qformCode: 1, quatern: [Math.sqrt(square), 0, 0] });
  for (const excess of [0, 3.8e-7, 9e-6]) {
    const scan = read(turned(1 + excess));
    expect(scan.notes).toEqual([]);
    expect(scan.affineVox2ras[0]).toBeCloseTo(2, 12);
    expect(scan.affineVox2ras[5]).toBeCloseTo(-3, 12);
  }
  expect(() => read(turned(1 + 1.1e-5))).toThrow(/quaternion/);
});

describe('a file is refused by name where', () => {
  test.each([[[0, 0, 0]], [[1, NaN, 1]], [[1, 1, Infinity]], [[1, 0, 1]]])('it has no voxel size: %j', (sizes) => {
    const example: Example = { sformCode: 0, pixdim: [1, ...sizes, 1, 1, 1, 1] };
    expect(() => read(example)).toThrow(`scan.nii: its header has no voxel size (pixdim ${sizes.map(general).join(', ')}) and no affine; volumes could not be measured; convert the original images again`);
    expect(() => read({ ...example, qformCode: 1 })).toThrow(/no voxel size/);
    expect(codes({ ...example, sformCode: 1, srow: SMALL_SROW })).toEqual([]);
  });

  test('it is compressed twice', () => {
    expect(() => readScan([{ name: 'a.nii.gz', bytes: gzip(gzip(makeNifti())) }])).toThrow('a.nii.gz: is compressed twice; unpack it once (gunzip) and try again');
  });

  test.each([
    ['/annex/objects/MD5E-s4104013--a3c9d6a1.nii.gz\n', /git-annex/],
    ['../../.git/annex/objects/Xk/3v/MD5E-s1--a/MD5E-s1--a.nii.gz', /git-annex/],
    ['version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n', /git lfs pull/],
    ['\n<!DOCTYPE html>\n<html lang="en"></html>', /is a web page \(HTML\), not a scan/],
    ['<HTML><body>404</body></HTML>', /is a web page/],
  ])('it stands in for a scan: %j', (text, refusal) => {
    expect(() => readScan([{ name: 'a.nii.gz', bytes: new TextEncoder().encode(text) }])).toThrow(refusal);
  });
});
