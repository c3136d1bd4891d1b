import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FramesError, ScanError } from './errors';
import { readScan, type Scan } from './nifti';
import { bytesOf, makeNifti, ramp, SMALL, SMALL_SROW, type Example } from './nifti-example';

const read = (bytes: Uint8Array, frame: number | null = null): Scan => readScan([{ name: 'scan.nii', bytes }], frame);
const refusal = (example: Example): (() => Scan) => () => read(makeNifti(example));

describe('reading a scan', () => {
  it('takes voxels with i fastest, and the sform', () => {
    const scan = read(makeNifti());
    expect(scan.dims).toEqual(SMALL);
    expect(scan.data).toEqual(ramp(SMALL));
    expect(scan.affineVox2ras).toEqual([...SMALL_SROW, 0, 0, 0, 1]);
    expect(scan.dtype).toBe('uint8');
  });

  const limits: [string, number, number[]][] = [
    ['uint8', 2, [0, 255]],
    ['int16', 4, [-32768, 32767]],
    ['int32', 8, [-(2 ** 31), 2 ** 31 - 1]],
    ['float32', 16, [-1.5, 3.25]],
    ['float64', 64, [-1e300, 1 / 3]],
    ['int8', 256, [-128, 127]],
    ['uint16', 512, [0, 65535]],
    ['uint32', 768, [0, 2 ** 32 - 1]],
    ['int64', 1024, [-(2 ** 53), 2 ** 53]],
    ['uint64', 1280, [0, 2 ** 53]],
  ];
  for (const [name, datatype, values] of limits) {
    for (const littleEndian of [true, false]) {
      it(`reads the extremes of ${name}, ${littleEndian ? 'little' : 'big'}-endian`, () => {
        const voxels = [...values, 1, 2, 3, 4, 5, 6];
        const scan = read(makeNifti({ dims: [2, 2, 2], datatype, littleEndian, voxels: bytesOf(voxels, datatype, littleEndian) }));
        expect(Array.from(scan.data)).toEqual(voxels);
        expect(scan.dtype).toBe(name);
      });
    }
  }

  for (const version of [1, 2] as const) {
    for (const littleEndian of [true, false]) {
      it(`reads NIfTI-${version}, ${littleEndian ? 'little' : 'big'}-endian, with voxels further back than the header's end`, () => {
        const scan = read(makeNifti({ version, littleEndian, voxOffset: 640, units: 10, descrip: 'kept' }));
        expect(scan.data).toEqual(ramp(SMALL));
        expect(scan.affineVox2ras).toEqual([...SMALL_SROW, 0, 0, 0, 1]);
        expect(scan.header.xyzt_units).toBe(10);
        expect(String.fromCharCode(...scan.header.descrip.subarray(0, 5))).toBe('kept\0');
      });
    }
  }

  it('applies slope and intercept in float64', () => {
    expect(Array.from(read(makeNifti({ slope: 0.5, inter: -3 })).data)).toEqual(Array.from(ramp(SMALL), (v) => v * 0.5 - 3));
  });

  it('takes a slope of 0, NaN or infinity as "not scaled"', () => {
    for (const slope of [0, NaN, Infinity]) expect(read(makeNifti({ slope, inter: 7 })).data).toEqual(ramp(SMALL));
  });

  it('drops trailing dimensions of size 1', () => {
    expect(read(makeNifti({ dims: [...SMALL, 1, 1] })).dims).toEqual(SMALL);
  });

  it('picks the frame asked for of a 4-D file', () => {
    const bytes = makeNifti({ dims: [...SMALL, 3] });
    expect(read(bytes, 2).data).toEqual(ramp([...SMALL, 3]).subarray(120));
  });

  it('reads gzip by content, also of several members', () => {
    const bytes = makeNifti();
    expect(read(gzipSync(bytes)).data).toEqual(ramp(SMALL));
    const halves = Buffer.concat([gzipSync(bytes.subarray(0, 200)), gzipSync(bytes.subarray(200))]);
    expect(read(new Uint8Array(halves)).data).toEqual(ramp(SMALL));
  });

  it('skips zeros behind a gzip stream, also one whose own size ends in zeros', () => {
    const bytes = makeNifti();
    const zipped = gzipSync(bytes);
    expect(zipped.at(-1)).toBe(0);
    for (const padding of [1, 3, 512]) {
      expect(read(new Uint8Array(Buffer.concat([zipped, Buffer.alloc(padding)]))).data, `${padding} zeros`).toEqual(ramp(SMALL));
    }
    expect(() => read(new Uint8Array(Buffer.concat([zipped, Buffer.from([0, 0, 7])])))).toThrow('gzip stream');
  });

  it('reads a pair in either order, with voxels from the start of the .img', () => {
    const hdr = { name: 'a.HDR', bytes: makeNifti({ magic: 'ni1\0', voxOffset: 0 }).subarray(0, 348) };
    const img = { name: 'a.IMG', bytes: ramp(SMALL) };
    expect(readScan([hdr, img]).data).toEqual(ramp(SMALL));
    expect(readScan([img, { ...hdr, bytes: gzipSync(hdr.bytes) }]).data).toEqual(ramp(SMALL));
  });
});

describe('the affine', () => {
  const half = Math.SQRT1_2;
  it('is the sform even where the qform has the larger code', () => {
    expect(read(makeNifti({ sformCode: 1, qformCode: 2 })).affineVox2ras.slice(0, 12)).toEqual(SMALL_SROW);
  });

  it('is the qform where there is no sform, with the sign of the third axis', () => {
    const quatern = [0, 0, half]; // a quarter turn: i grows to A, j to L
    const scan = read(makeNifti({ version: 2, sformCode: 0, qformCode: 1, quatern, qoffset: [1, 2, 3], pixdim: [-1, 2, 3, 4, 1, 1, 1, 1] }));
    [0, -3, 0, 1, 2, 0, 0, 2, 0, 0, -4, 3].forEach((value, n) => {
      expect(scan.affineVox2ras[n]).toBeCloseTo(value, 12);
    });
  });

  it('takes a qform quaternion that float32 made a little too long as a half turn', () => {
    const quatern = [Math.fround(half) * (1 + 2 ** -24), Math.fround(half) * (1 + 2 ** -24), 0];
    const scan = read(makeNifti({ sformCode: 0, qformCode: 1, quatern, pixdim: [1, 2, 2, 2, 1, 1, 1, 1] }));
    expect(scan.affineVox2ras[1]).toBeCloseTo(2, 6);
    expect(scan.affineVox2ras[10]).toBeCloseTo(-2, 6);
  });

  it('without any form is centred, with x to the left', () => {
    const { affineVox2ras } = read(makeNifti({ sformCode: 0, qformCode: 0 }));
    expect(affineVox2ras).toEqual([-2, 0, 0, 2, 0, 3, 0, -4.5, 0, 0, 4, -8, 0, 0, 0, 1]);
  });
});

it('a single file called .img is read by its content', () => {
  expect(readScan([{ name: 'scan.img', bytes: makeNifti() }]).dims).toEqual([3, 4, 5]);
});

describe('a file is refused by name and reason', () => {
  it('4-D without a frame, saying how many frames there are', () => {
    const open = refusal({ dims: [...SMALL, 3] });
    expect(open).toThrow('scan.nii: expected a 3-D volume, got shape (3, 4, 5, 3); pick one of its frames, 0 to 2');
    expect(open).toThrow(FramesError);
    expect(() => read(makeNifti({ dims: [...SMALL, 3] }), 3)).toThrow('frame 3 is out of range; this scan has frames 0 to 2');
  });

  const refused: [string, Example, string][] = [
    ['binary', { datatype: 1 }, 'voxels are binary (1 bit per voxel)'],
    ['complex64', { datatype: 32 }, 'voxels are complex64'],
    ['RGB24', { datatype: 128 }, 'voxels are RGB24'],
    ['float128', { datatype: 1536 }, 'voxels are float128'],
    ['complex128', { datatype: 1792 }, 'voxels are complex128'],
    ['complex256', { datatype: 2048 }, 'voxels are complex256'],
    ['RGBA32', { datatype: 2304 }, 'voxels are RGBA32'],
    ['an unknown type', { datatype: 3 }, 'voxels are unknown datatype code 3'],
    ['2-D', { dims: [30, 40] }, 'expected a 3-D volume, got shape (30, 40)'],
    ['5-D', { dims: [2, 2, 2, 2, 2] }, 'expected a 3-D volume, got shape (2, 2, 2, 2, 2)'],
    ['a single slice', { dims: [30, 40, 1] }, 'shape (30, 40, 1) is no 3-D head scan'],
    ['a dimension of 0', { dims: [0, 4, 5] }, 'shape (0, 4, 5) is no 3-D head scan'],
    ['a negative dimension', { dims: [-3, 4, 5], voxels: ramp(SMALL) }, 'shape (-3, 4, 5) is no 3-D head scan'],
    ['a dimension of 4,000', { dims: [4000, 2, 2] }, 'shape (4000, 2, 2) is no 3-D head scan'],
    ['too many voxels', { dims: [1024, 1024, 512], voxels: new Uint8Array(1) }, 'shape (1024, 1024, 512) is no 3-D head scan; expected 2 to 2048 voxels per axis and at most 268435456 in all'],
    ['an early end', { voxels: ramp(SMALL).subarray(0, 50) }, '10 bytes of voxels are missing; the header promises (3, 4, 5) x 1 of uint8'],
    ['voxels inside the header', { voxOffset: 100 }, 'damaged NIfTI header (vox_offset 100 lies before the end of the header, 352)'],
    ['a slope without an intercept', { slope: 2, inter: NaN }, 'the slope is 2 but the intercept is nan'],
    ['a constant image', { voxels: new Uint8Array(60).fill(7) }, 'every voxel has the value 7'],
    ['axes in one plane', { srow: [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0] }, 'its affine is singular or non-finite'],
    ['an affine with NaN', { srow: [NaN, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0] }, 'its affine is singular or non-finite'],
    ['an impossible quaternion', { sformCode: 0, qformCode: 1, quatern: [1, 1, 1] }, 'no affine can be made of its qform'],
    ['Analyze 7.5', { magic: '\0\0\0\0' }, 'an Analyze 7.5 header without NIfTI magic'],
    ['a damaged NIfTI-2 magic', { version: 2, magic: 'abc\0' }, 'not a NIfTI or MGH file (it starts with bytes 1c 02 00 00 61 62 63 00)'],
  ];
  for (const [what, example, sentence] of refused) {
    it(what, () => {
      expect(refusal(example)).toThrow(ScanError);
      expect(refusal(example)).toThrow(`scan.nii: ${sentence}`);
    });
  }

  it('values further apart than a number can say', () => {
    const voxels = bytesOf([1e308, -1e308, 0, 0, 0, 0, 0, 0], 64);
    expect(refusal({ dims: [2, 2, 2], datatype: 64, voxels })).toThrow('scan.nii: values from -1e+308 to 1e+308 are too far apart');
  });

  for (const bad of [Infinity, -Infinity]) {
    it(`voxels that are ${bad}, with their number`, () => {
      const voxels = bytesOf([1, bad, 3, 4, 5, NaN, 7, 8], 16);
      expect(refusal({ dims: [2, 2, 2], datatype: 16, voxels })).toThrow('scan.nii: 2 of 8 voxels are NaN or infinite');
    });
  }

  it('no NIfTI at all, saying what it is where that is known', () => {
    const dicom = new Uint8Array(200);
    dicom.set([68, 73, 67, 77], 128);
    expect(() => read(dicom)).toThrow('not a NIfTI or MGH file (a DICOM file, which dcm2niix converts)');
    expect(() => read(Uint8Array.from([0, 0, 0, 1, 0, 0]))).toThrow('the MGH header ends after 6 of 284 bytes; get the file again');
    expect(() => read(new TextEncoder().encode('<html><body>'))).toThrow('is a web page (HTML), not a scan');
    expect(() => read(new Uint8Array(0))).toThrow('the file is empty');
    expect(() => read(makeNifti().subarray(0, 300))).toThrow('the header ends after 300 of 348 bytes');
  });

  it('gzip cut short anywhere, or damaged', () => {
    const zipped = new Uint8Array(gzipSync(makeNifti()));
    for (let length = 2; length < zipped.length; length++) {
      expect(() => read(zipped.slice(0, length)), `${length} bytes`).toThrow(/gzip stream (ends early|is damaged)/);
    }
    expect(() => read(zipped.slice(0, -40))).toThrow('the gzip stream ends early (truncated download or copy); get the file again');
    const damaged = zipped.slice();
    damaged[zipped.length - 6]! ^= 1;
    expect(() => read(damaged)).toThrow('its checksum differs');
  });

  it('half a pair, or more files than a scan has', () => {
    const hdr = { name: 'a.hdr', bytes: makeNifti({ magic: 'ni1\0', voxOffset: 0 }) };
    const img = { name: 'a.img', bytes: ramp(SMALL) };
    expect(() => readScan([hdr])).toThrow('a.hdr: the header of a .hdr/.img pair without its voxels; give the .img file together with it');
    expect(() => readScan([img])).toThrow('a.img: the voxels of a .hdr/.img pair without their header');
    expect(() => readScan([hdr, hdr])).toThrow('a.hdr, a.hdr: expected one scan, got 2 files');
  });
});
