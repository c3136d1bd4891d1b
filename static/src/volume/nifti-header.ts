// NIfTI-1 and NIfTI-2 headers as numbers and text, read and written from one table of fields.
//
// Not nifti-reader-js 0.8: it prefers the qform where its code is the larger one (we need sform, else qform), has
// another fallback affine than nibabel, checks nothing, and cannot write a header.
import { ScanError } from './errors';
import { notAScan } from './foreign-files';

type Kind = 'u1' | 'i2' | 'i4' | 'i8' | 'f4' | 'f8' | 'text';
type Place = readonly [kind: Kind, offset: number];

/** Field → number of values, place in NIfTI-1 (348 bytes), place in NIfTI-2 (540 bytes). */
const FIELDS = {
  dim_info: [1, ['u1', 39], ['u1', 524]],
  dim: [8, ['i2', 40], ['i8', 16]],
  intent_p: [3, ['f4', 56], ['f8', 80]],
  intent_code: [1, ['i2', 68], ['i4', 504]],
  datatype: [1, ['i2', 70], ['i2', 12]],
  bitpix: [1, ['i2', 72], ['i2', 14]],
  slice_start: [1, ['i2', 74], ['i8', 224]],
  pixdim: [8, ['f4', 76], ['f8', 104]],
  vox_offset: [1, ['f4', 108], ['i8', 168]],
  scl_slope: [1, ['f4', 112], ['f8', 176]],
  scl_inter: [1, ['f4', 116], ['f8', 184]],
  slice_end: [1, ['i2', 120], ['i8', 232]],
  slice_code: [1, ['u1', 122], ['i4', 496]],
  xyzt_units: [1, ['u1', 123], ['i4', 500]],
  cal_max: [1, ['f4', 124], ['f8', 192]],
  cal_min: [1, ['f4', 128], ['f8', 200]],
  slice_duration: [1, ['f4', 132], ['f8', 208]],
  toffset: [1, ['f4', 136], ['f8', 216]],
  descrip: [80, ['text', 148], ['text', 240]],
  aux_file: [24, ['text', 228], ['text', 320]],
  qform_code: [1, ['i2', 252], ['i4', 344]],
  sform_code: [1, ['i2', 254], ['i4', 348]],
  quatern: [3, ['f4', 256], ['f8', 352]],
  qoffset: [3, ['f4', 268], ['f8', 376]],
  srow: [12, ['f4', 280], ['f8', 400]],
  intent_name: [16, ['text', 328], ['text', 508]],
} as const satisfies Record<string, readonly [number, Place, Place]>;

type Field = keyof typeof FIELDS;
type TextField = 'descrip' | 'aux_file' | 'intent_name';
type ListField = 'dim' | 'intent_p' | 'pixdim' | 'quatern' | 'qoffset' | 'srow';

export type NiftiFields = {
  readonly [F in Field]: F extends TextField ? Uint8Array : F extends ListField ? readonly number[] : number;
};

/** Fields under their NIfTI names; text as its raw bytes, so that it is written back as it was. */
export interface NiftiHeader extends NiftiFields {
  readonly version: 1 | 2;
  readonly littleEndian: boolean;
  /** `n+1`/`n+2`: voxels in the same file; `ni1`/`ni2`: in an .img file beside it. */
  readonly singleFile: boolean;
  /** pixdim[1 … 3] as the file has them; `pixdim` has 1 in place of 0. */
  readonly fileSizes: readonly number[];
  /** Codes of the two forms as the file has them. */
  readonly fileCodes: readonly (readonly [form: 'qform' | 'sform', code: number])[];
}

export const HEADER_BYTES = { 1: 348, 2: 540 } as const;

/** Template for new headers: a single uint8 file, mm, without an affine. */
export const PLAIN_HEADER: NiftiHeader = {
  version: 1,
  littleEndian: true,
  singleFile: true,
  fileSizes: [],
  fileCodes: [],
  dim_info: 0,
  dim: [],
  intent_p: [0, 0, 0],
  intent_code: 0,
  datatype: 2,
  bitpix: 8,
  slice_start: 0,
  pixdim: [],
  quatern: [0, 0, 0],
  vox_offset: 352,
  scl_slope: 1,
  scl_inter: 0,
  slice_end: 0,
  slice_code: 0,
  xyzt_units: 2, // mm
  cal_max: 0,
  cal_min: 0,
  slice_duration: 0,
  toffset: 0,
  descrip: new Uint8Array(80),
  aux_file: new Uint8Array(24),
  qform_code: 0,
  sform_code: 0,
  qoffset: [0, 0, 0],
  srow: [],
  intent_name: new Uint8Array(16),
};

/** Parse the first bytes of an (unpacked) .nii or .hdr file. Raises ScanError where they are no NIfTI header. */
export function parseHeader(bytes: Uint8Array, name: string): NiftiHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const littleEndian = bytes.length >= 4 && [348, 540].includes(view.getInt32(0, true));
  const size = bytes.length >= 4 ? view.getInt32(0, littleEndian) : 0;
  if (size !== 348 && size !== 540) throw new ScanError(`${name}: ${notAScan(bytes)}`);
  if (bytes.length < size) throw new ScanError(`${name}: the header ends after ${bytes.length} of ${size} bytes; get the file again`);
  const version = size === 348 ? 1 : 2;
  const magic = checkedMagic(bytes, version, name);
  const fields: Record<string, number | number[] | Uint8Array> = {};
  for (const [field, [count, ...places]] of Object.entries(FIELDS)) {
    const [kind, offset] = places[version - 1]!;
    if (kind === 'text') fields[field] = bytes.slice(offset, offset + count);
    else if (count === 1) fields[field] = getNumber(view, kind, offset, littleEndian);
    else fields[field] = Array.from({ length: count }, (_, n) => getNumber(view, kind, offset + n * SIZE[kind], littleEndian));
  }
  const header = { ...(fields as unknown as NiftiFields), version, littleEndian, singleFile: magic.startsWith('n+') } as const;
  const rank = header.dim[0]!;
  if (!(rank >= 1 && rank <= 7)) throw new ScanError(`${name}: damaged NIfTI header (dim[0] is ${rank}, expected 1 to 7); convert or export the scan again`);
  return repaired({ ...header, fileSizes: header.pixdim.slice(1, 4), fileCodes: [['qform', header.qform_code], ['sform', header.sform_code]] });
}

/** The magic. Raises ScanError for another one, and for a NIfTI-2 magic whose end was changed. */
function checkedMagic(bytes: Uint8Array, version: 1 | 2, name: string): string {
  const magic = text(bytes, version === 1 ? 344 : 4, 4);
  if (magic !== `n+${version}\0` && magic !== `ni${version}\0`) {
    throw new ScanError(
      version === 1
        ? `${name}: an Analyze 7.5 header without NIfTI magic, which says nothing about left and right; convert the original images with dcm2niix`
        : `${name}: ${notAScan(bytes)}`,
    );
  }
  if (version === 2 && !['\r\n\x1a\n', '\0\0\0\0'].includes(text(bytes, 8, 4))) {
    throw new ScanError(`${name}: damaged NIfTI header (the end of its magic was changed by a conversion of line ends); copy the file again in binary mode`);
  }
  return magic;
}

function text(bytes: Uint8Array, start: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(start, start + length));
}

/** Whether NIfTI defines this code of a form. */
export function isKnownCode(code: number): boolean {
  return code >= 0 && code <= 5;
}

/** The repairs that nibabel makes silently: voxel sizes of 0 or below, a sign of the third axis other than ±1, unknown codes. */
function repaired(header: NiftiHeader): NiftiHeader {
  const knownCode = (code: number): number => (isKnownCode(code) ? code : 0);
  const pixdim = header.pixdim.map((value, n) => (n < 1 || n > 3 ? value : value === 0 ? 1 : Math.abs(value)));
  if (pixdim[0] !== 1 && pixdim[0] !== -1) pixdim[0] = 1;
  return { ...header, pixdim, qform_code: knownCode(header.qform_code), sform_code: knownCode(header.sform_code) };
}

/** The header's bytes, little-endian, with the magic of a single file and four bytes that say "no extensions". */
export function serializeHeader(header: NiftiHeader): Uint8Array {
  const size = HEADER_BYTES[header.version];
  const bytes = new Uint8Array(size + 4);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, size, true);
  const magic = header.version === 1 ? 'n+1\0' : 'n+2\0\r\n\x1a\n';
  bytes.set(Array.from(magic, (c) => c.charCodeAt(0)), header.version === 1 ? 344 : 4);
  for (const [field, [, ...places]] of Object.entries(FIELDS)) {
    const [kind, offset] = places[header.version - 1]!;
    const value = header[field as Field];
    if (value instanceof Uint8Array) bytes.set(value, offset);
    else if (kind !== 'text') {
      (typeof value === 'number' ? [value] : value).forEach((v, n) => {
        setNumber(view, kind, offset + n * SIZE[kind], v);
      });
    }
  }
  return bytes;
}

const SIZE = { u1: 1, i2: 2, i4: 4, i8: 8, f4: 4, f8: 8 } as const;

function getNumber(view: DataView, kind: Exclude<Kind, 'text'>, offset: number, littleEndian: boolean): number {
  switch (kind) {
    case 'u1': return view.getUint8(offset);
    case 'i2': return view.getInt16(offset, littleEndian);
    case 'i4': return view.getInt32(offset, littleEndian);
    case 'i8': return Number(view.getBigInt64(offset, littleEndian));
    case 'f4': return view.getFloat32(offset, littleEndian);
    case 'f8': return view.getFloat64(offset, littleEndian);
  }
}

function setNumber(view: DataView, kind: Exclude<Kind, 'text'>, offset: number, value: number): void {
  switch (kind) {
    case 'u1': view.setUint8(offset, value); break;
    case 'i2': view.setInt16(offset, value, true); break;
    case 'i4': view.setInt32(offset, value, true); break;
    case 'i8': view.setBigInt64(offset, BigInt(value), true); break;
    case 'f4': view.setFloat32(offset, value, true); break;
    case 'f8': view.setFloat64(offset, value, true); break;
  }
}
