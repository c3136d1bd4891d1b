// NIfTI files for the tests, written byte by byte from the standard's table and without the code under test.
import type { Dims } from './volume';

export interface Example {
  readonly version?: 1 | 2;
  readonly littleEndian?: boolean;
  readonly magic?: string;
  readonly dims?: readonly number[];
  readonly datatype?: number;
  readonly bitpix?: number;
  readonly pixdim?: readonly number[];
  readonly voxOffset?: number;
  readonly slope?: number;
  readonly inter?: number;
  readonly units?: number;
  readonly qformCode?: number;
  readonly quatern?: readonly number[];
  readonly qoffset?: readonly number[];
  readonly sformCode?: number;
  readonly srow?: readonly number[];
  readonly descrip?: string;
  /** Raw voxel bytes, in the file's byte order. */
  readonly voxels?: Uint8Array;
}

const OFFSETS = {
  1: { dim: 40, datatype: 70, bitpix: 72, pixdim: 76, voxOffset: 108, slope: 112, inter: 116, units: 123, descrip: 148, qformCode: 252, sformCode: 254, quatern: 256, qoffset: 268, srow: 280, magic: 344 },
  2: { dim: 16, datatype: 12, bitpix: 14, pixdim: 104, voxOffset: 168, slope: 176, inter: 184, units: 500, descrip: 240, qformCode: 344, sformCode: 348, quatern: 352, qoffset: 376, srow: 400, magic: 4 },
} as const;

export const SMALL: Dims = [3, 4, 5];
/** 2 × 3 × 4 mm, axes R, A, S, with an offset. */
export const SMALL_SROW = [2, 0, 0, -10, 0, 3, 0, 20, 0, 0, 4, -30];

/** Voxels 0, 1, 2 … of any small grid as one byte each. */
export function ramp(dims: readonly number[]): Uint8Array {
  return Uint8Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, n) => n % 256);
}

/** A whole file; with `magic` of a pair, only its header part is meaningful. */
export function makeNifti(example: Example = {}): Uint8Array {
  const { version = 1, littleEndian = true, dims = SMALL, datatype = 2, bitpix = 8 } = example;
  const headerBytes = version === 1 ? 348 : 540;
  const { voxOffset = headerBytes + 4, voxels = ramp(dims) } = example;
  const at = OFFSETS[version];
  const bytes = new Uint8Array(Math.max(voxOffset, headerBytes + 4) + voxels.length);
  const view = new DataView(bytes.buffer);
  const real = (offset: number, values: readonly number[]): void => {
    values.forEach((value, n) => {
      if (version === 1) view.setFloat32(offset + 4 * n, value, littleEndian);
      else view.setFloat64(offset + 8 * n, value, littleEndian);
    });
  };
  const dim = [dims.length, ...dims, ...new Array<number>(7 - dims.length).fill(1)];
  view.setInt32(0, headerBytes, littleEndian);
  dim.forEach((value, n) => {
    if (version === 1) view.setInt16(at.dim + 2 * n, value, littleEndian);
    else view.setBigInt64(at.dim + 8 * n, BigInt(value), littleEndian);
  });
  view.setInt16(at.datatype, datatype, littleEndian);
  view.setInt16(at.bitpix, bitpix, littleEndian);
  real(at.pixdim, example.pixdim ?? [1, 2, 3, 4, 1, 1, 1, 1]);
  if (version === 1) view.setFloat32(at.voxOffset, voxOffset, littleEndian);
  else view.setBigInt64(at.voxOffset, BigInt(voxOffset), littleEndian);
  real(at.slope, [example.slope ?? 0]);
  real(at.inter, [example.inter ?? 0]);
  const code = (offset: number, value: number): void => {
    if (version === 1) view.setInt16(offset, value, littleEndian);
    else view.setInt32(offset, value, littleEndian);
  };
  if (version === 1) view.setUint8(at.units, example.units ?? 2);
  else view.setInt32(at.units, example.units ?? 2, littleEndian);
  code(at.qformCode, example.qformCode ?? 0);
  code(at.sformCode, example.sformCode ?? 1);
  real(at.quatern, example.quatern ?? [0, 0, 0]);
  real(at.qoffset, example.qoffset ?? [0, 0, 0]);
  real(at.srow, example.srow ?? SMALL_SROW);
  const ascii = (offset: number, text: string): void => {
    bytes.set(Array.from(text, (c) => c.charCodeAt(0)), offset);
  };
  ascii(at.descrip, example.descrip ?? '');
  ascii(at.magic, example.magic ?? (version === 1 ? 'n+1\0' : 'n+2\0\r\n\x1a\n'));
  bytes.set(voxels, Math.max(voxOffset, headerBytes + 4));
  return bytes;
}

/** Bytes of numbers in the file's order. */
export function bytesOf(values: readonly number[], datatype: number, littleEndian = true): Uint8Array {
  const size = { 2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8 }[datatype]!;
  const view = new DataView(new ArrayBuffer(size * values.length));
  values.forEach((value, n) => {
    const at = n * size;
    switch (datatype) {
      case 2: view.setUint8(at, value); break;
      case 4: view.setInt16(at, value, littleEndian); break;
      case 8: view.setInt32(at, value, littleEndian); break;
      case 16: view.setFloat32(at, value, littleEndian); break;
      case 64: view.setFloat64(at, value, littleEndian); break;
      case 256: view.setInt8(at, value); break;
      case 512: view.setUint16(at, value, littleEndian); break;
      case 768: view.setUint32(at, value, littleEndian); break;
      case 1024: view.setBigInt64(at, BigInt(value), littleEndian); break;
      default: view.setBigUint64(at, BigInt(value), littleEndian);
    }
  });
  return new Uint8Array(view.buffer);
}
