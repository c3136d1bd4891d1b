// The parts that NRRD (nrrd.ts) and MetaImage (meta-image.ts) share: both are a text header with raw or compressed voxels, in
// ITK's world axes. meshnet/scan/itk_formats.py reads them with SimpleITK; tests/parity compares the two.
//
// Our own readers: @itk-wasm/image-io would add 1.0 MB (WebAssembly, glue and wrapper; it could not be kept offline within
// 8.5 MB) and does not run in the npm package's Node and Deno; these take 6 kB.
import { unzlibSync } from 'fflate';
import { ScanError } from './errors';
import { formOf } from './mgh';
import type { NiftiHeader } from './nifti-header';
import { PLAIN_HEADER } from './nifti-header';
import { note, type Note } from './notes';
import type { Affine } from './volume';

/** A file beside the header that may hold the voxels. */
export interface DataFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

export interface ItkImage {
  /** NIfTI-1 header of the same grid, its affine as sform and qform with code 1. `littleEndian`: of the voxels. */
  readonly header: NiftiHeader;
  readonly affineVox2ras: Affine;
  /** Unpacked; i fastest, frames last. */
  readonly voxels: Uint8Array;
  readonly notes: readonly Note[];
}

/** The geometry of an ITK image: sizes of 3 or 4 axes; direction of each of the first three, in mm per voxel, and origin in LPS. */
export interface ItkGeometry {
  readonly sizes: readonly number[];
  readonly steps: readonly (readonly number[])[];
  readonly origin: readonly number[];
}

/** Name of a type as in nifti.ts → NIfTI datatype code and bytes per voxel. */
export const TYPES = {
  int8: [256, 1], uint8: [2, 1], int16: [4, 2], uint16: [512, 2], int32: [8, 4], uint32: [768, 4],
  int64: [1024, 8], uint64: [1280, 8], float32: [16, 4], float64: [64, 8],
} as const;
export type TypeName = keyof typeof TYPES;

/** Raises ScanError unless it has 3 or 4 axes with sizes above 0. */
export function checkSizes(sizes: readonly number[], name: string): void {
  if (sizes.length !== 3 && sizes.length !== 4) throw new ScanError(`${name}: expected a 3-D volume, got ${sizes.length} dimensions`);
  if (!sizes.every((size) => Number.isInteger(size) && size > 0)) throw new ScanError(`${name}: its header has sizes ${sizes.join(' x ')}; get the file again`);
}

/** Raises ScanError for colours, vectors and the like. */
export function refuseComponents(count: number, name: string): void {
  if (count !== 1) throw new ScanError(`${name}: expected one value per voxel, got ${count}; choose the grey-scale image of this scan`);
}

export function itkImage({ sizes, steps, origin }: ItkGeometry, type: TypeName, littleEndian: boolean, voxels: Uint8Array, namesSpace: boolean): ItkImage {
  const row = (axis: number, sign: number): number[] => [...steps.slice(0, 3).map((step) => sign * step[axis]!), sign * origin[axis]!];
  const affineVox2ras = [...row(0, -1), ...row(1, -1), ...row(2, 1), 0, 0, 0, 1];
  const [datatype, bytes] = TYPES[type];
  const dim = [sizes.length, ...sizes, ...Array.from({ length: 7 - sizes.length }, () => 1)];
  const header = {
    ...PLAIN_HEADER,
    littleEndian,
    datatype,
    bitpix: 8 * bytes,
    dim,
    scl_slope: 0, // not scaled
    ...formOf(affineVox2ras),
    qform_code: 1,
    sform_code: 1,
    srow: affineVox2ras.slice(0, 12),
  };
  return { header, affineVox2ras, voxels, notes: namesSpace ? [] : [note('no-space')] };
}

/** The numbers of an ASCII file, as little-endian voxels. */
export function voxelsOfText(bytes: Uint8Array, type: TypeName): Uint8Array {
  const numbers = new TextDecoder('latin1').decode(bytes).trim().split(/[\s,]+/).map(Number);
  const size = TYPES[type][1];
  const out = new DataView(new ArrayBuffer(numbers.length * size));
  numbers.forEach((value, n) => {
    const at = n * size;
    if (type === 'float32') out.setFloat32(at, value, true);
    else if (type === 'float64') out.setFloat64(at, value, true);
    else if (type === 'int64' || type === 'uint64') out.setBigInt64(at, BigInt(Math.trunc(value)), true);
    else if (size === 4) out.setInt32(at, value, true);
    else if (size === 2) out.setInt16(at, value, true);
    else out.setInt8(at, value);
  });
  return new Uint8Array(out.buffer);
}

/** Unpacks a zlib stream of `size` bytes. Raises ScanError where it is damaged. */
export function unzlib(bytes: Uint8Array, size: number, name: string): Uint8Array {
  const damaged = new ScanError(`${name}: the compressed voxels are damaged or end early; get the file again`);
  let out: Uint8Array;
  try {
    out = unzlibSync(bytes, { out: new Uint8Array(size) });
  } catch {
    throw damaged;
  }
  // fflate does not compare the checksum, the stream's last four bytes.
  const stated = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(bytes.length - 4);
  if (adler32(out) !== stated) throw damaged;
  return out;
}

/** Checksum of zlib streams (RFC 1950). */
function adler32(bytes: Uint8Array): number {
  let [low, high] = [1, 0];
  for (let start = 0; start < bytes.length; start += 3800) { // so short that the sums stay below 2³²
    const end = Math.min(start + 3800, bytes.length);
    for (let n = start; n < end; n++) {
      low += bytes[n]!;
      high += low;
    }
    low %= 65521;
    high %= 65521;
  }
  return high * 65536 + low;
}

/** The file that the header names, among those beside it. Raises ScanError where it is not there. */
export function dataFile(named: string, beside: readonly DataFile[], name: string): Uint8Array {
  const base = named.replace(/^.*[/\\]/, '');
  const found = beside.find((file) => file.name === base) ?? beside[0];
  if (found === undefined) throw new ScanError(`${name}: its voxels are in another file, ${base}; give both together`);
  return found.bytes;
}

/** Values of a header's field that are numbers. Raises ScanError where one is none. */
export function numbersOf(text: string, field: string, name: string): number[] {
  const numbers = text.trim().split(/\s+/).map(Number);
  if (numbers.some((value) => Number.isNaN(value))) throw new ScanError(`${name}: its header’s ${field} is “${text.trim()}”, expected numbers; get the file again`);
  return numbers;
}
