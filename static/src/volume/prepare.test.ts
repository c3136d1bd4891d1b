import { gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readScan } from './nifti';
import { makeNifti, SMALL, SMALL_SROW } from './nifti-example';
import { encodeConformed, encodeNative, fromNetworkLabels, labelVolumes, prepare, toNative, toNetworkInput } from './prepare';
import type { Volume } from './volume';

type Spec = Parameters<typeof toNetworkInput>[1];

const spec = (change: Partial<Spec['input']> = {}, inChannels = 1): Spec => ({
  id: 'example',
  architecture: {
    in_channels: inChannels, channels: 5, classes: 2, dilations: [1], kernel_size: 3, activation: 'relu',
    norm: { kind: 'none' }, conv_bias: true, classifier_bias: true,
  },
  input: { size: [256, 256, 256], voxel_size_mm: 1, orientation: 'RAS', normalization: { kind: 'minmax' }, ...change },
});
/** Whole 256³ volumes on a busy machine. */
const timeout = 60_000;

describe('from a file to the network and back', { timeout }, () => {
  const { scan, conformed } = prepare([{ name: 'a.nii', bytes: makeNifti({ descrip: 'kept', units: 10 }) }]);

  it('gives the network a normalised copy in its own orientation', () => {
    const input = toNetworkInput(conformed, spec());
    const top = 59; // the example's voxels are 0 … 59, and conform keeps uint8
    expect(input.length).toBe(256 ** 3);
    // RAS (i, j, k) is LIA (255 − i, 255 − k, j)
    for (const [i, j, k] of [[127, 127, 127], [128, 126, 125], [126, 130, 124]] as const) {
      expect(input[i + 256 * (j + 256 * k)]).toBe(Math.fround(conformed.data[255 - i + 256 * (255 - k + 256 * j)]! / top));
    }
  });

  it('puts labels in the network\'s orientation back where the scan has them', () => {
    const labels = new Uint8Array(256 ** 3);
    labels[10 + 256 * (20 + 256 * 30)] = 7;
    const back = fromNetworkLabels(labels, conformed, spec());
    expect(back.affineVox2ras).toEqual(conformed.affineVox2ras);
    expect(back.data[245 + 256 * (225 + 256 * 20)]).toBe(7);
    expect(back.data.indexOf(7)).toBe(back.data.lastIndexOf(7));
  });

  it('refuses a model of another size or of more channels', () => {
    expect(() => toNetworkInput(conformed, spec({ size: [128, 128, 128] }))).toThrow('model example takes 1 channels of 128 x 128 x 128 voxels of 1 mm, but the conformed scan has 1 channel of 256 x 256 x 256');
    expect(() => toNetworkInput(conformed, spec({ voxel_size_mm: 0.8 }))).toThrow('of 0.8 mm');
    expect(() => toNetworkInput(conformed, spec({}, 3))).toThrow('takes 3 channels');
  });

  it('finds a label drawn around the scan on every voxel of its own grid, and measures it there', () => {
    const all: Volume<Uint8Array> = { ...conformed, data: new Uint8Array(256 ** 3).fill(1) };
    const native = toNative(all, scan);
    expect(native.dims).toEqual(SMALL);
    expect(labelVolumes(native, 2)).toEqual([
      { index: 0, voxels: 0, volumeMl: 0 },
      { index: 1, voxels: 60, volumeMl: expect.closeTo(60 * 0.024, 12) as number },
    ]);
  });

  for (const version of [1, 2] as const) {
    it(`saves labels under the scan's NIfTI-${version} header`, () => {
      const bytes = makeNifti({
        version, littleEndian: false, descrip: 'kept', units: 10, slope: 3, inter: 1, voxOffset: 640, dims: [...SMALL, 1],
        qformCode: 2, quatern: [0.1, 0.2, 0.3], qoffset: [4, 5, 6], sformCode: 4, pixdim: [-1, 2, 3, 4, 9, 1, 1, 1],
      });
      const source = prepare([{ name: 'b.nii', bytes }]).scan;
      const labels = Uint8Array.from({ length: 60 }, (_, n) => n % 3);
      const saved = readScan([{ name: 'saved.nii.gz', bytes: encodeNative({ ...source, data: labels }, source) }]);
      expect(saved.data).toEqual(labels);
      expect(saved.dtype).toBe('uint8');
      const { littleEndian, scl_slope, scl_inter, dim, vox_offset, pixdim, intent_code, ...kept } = saved.header;
      expect({ littleEndian, scl_slope, scl_inter, dim, vox_offset }).toEqual({
        littleEndian: true, scl_slope: 1, scl_inter: 0, dim: [3, ...SMALL, 1, 1, 1, 1], vox_offset: version === 1 ? 352 : 544,
      });
      expect(pixdim).toEqual([-1, 2, 3, 4, 1, 1, 1, 1]);
      expect(intent_code).toBe(1002); // labels
      expect(source.header).toMatchObject(kept);
    });
  }

  it('saves the conformed volume with its affine as sform and qform alike', () => {
    const saved = encodeConformed(conformed, scan);
    const unpacked = new Uint8Array(gunzipSync(saved));
    const again = readScan([{ name: 'conformed.nii', bytes: unpacked }]);
    expect(Buffer.compare(Buffer.from(again.data.buffer), Buffer.from(conformed.data.buffer))).toBe(0);
    expect(again.affineVox2ras).toEqual(conformed.affineVox2ras);
    expect([again.header.sform_code, again.header.qform_code, again.header.intent_code]).toEqual([1, 1, 1002]);
    const view = new DataView(unpacked.buffer);
    view.setInt16(254, 0, true);
    readScan([{ name: 'conformed.nii', bytes: unpacked }]).affineVox2ras.forEach((value, n) => {
      expect(value).toBeCloseTo(conformed.affineVox2ras[n]!, 5);
    });
  });

  it('says "aligned" of a conformed volume whose scan had no form', () => {
    const formless = prepare([{ name: 'c.nii', bytes: makeNifti({ sformCode: 0, srow: SMALL_SROW }) }]);
    const { header } = readScan([{ name: 'd.nii.gz', bytes: encodeConformed(formless.conformed, formless.scan) }]);
    expect([header.sform_code, header.qform_code]).toEqual([2, 2]);
  });
});
