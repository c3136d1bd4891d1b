// Bytes of a NIfTI (.nii, .nii.gz, or .hdr with its .img), MGH (.mgh, .mgz), NRRD (.nrrd, .nhdr) or MetaImage file (.mha, .mhd)
// → one 3-D volume of numbers with its header.
// The rules, shared with meshnet/scan/nifti.py, are in docs/conform.md. Raises ScanError for every file it refuses.
import { FramesError, ScanError } from './errors';
import { gunzip, isGzip } from './gzip';
import { countFewValues, isLabelLike, isProbabilityLike } from './label-like';
import { isMgh, MGH_VOXEL_OFFSET, parseMghHeader } from './mgh';
import { checkAffine, chooseAffine } from './forms';
import { isMetaImage, parseMetaImage } from './meta-image';
import { isNrrd, parseNrrd } from './nrrd';
import { parseHeader, type NiftiHeader } from './nifti-header';
import { general, note, type Note } from './notes';
import { replaceFill } from './fill-values';
import { refuseForeign } from './foreign-files';
import { holdsVoxels, voxelStart } from './voxel-start';
import type { Dims, Volume, VoxelArray } from './volume';

/** A file that the visitor opened. Its name is used in messages and tells .hdr from .img. */
export interface ScanFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** A scan on its own grid. `data` holds real values: slope and intercept are applied. */
export interface Scan extends Volume {
  readonly name: string;
  readonly header: NiftiHeader;
  /** The file's own type, e.g. "int16"; scaled and 64-bit integer data is held as float64. */
  readonly dtype: string;
  /** Repairs and assumptions while reading. */
  readonly notes: readonly Note[];
}

const [MIN_DIM, MAX_DIM, MAX_VOXELS] = [2, 2048, 2 ** 28];
/** Of the unpacked file: the longest array that browsers allocate. */
export const MAX_FILE_BYTES = 2 ** 32 - 1;

/** Names of files that hold voxels and leave the header to another file. */
const VOXELS_ONLY = /\.(img|raw|zraw)(\.gz)?$/i;

type Reader = (buffer: ArrayBuffer) => VoxelArray;

/** NIfTI datatype code → name, bytes per voxel, and how an aligned little-endian buffer is read. */
const READABLE: Readonly<Record<number, readonly [string, number, Reader]>> = {
  2: ['uint8', 1, (b) => new Uint8Array(b)],
  4: ['int16', 2, (b) => new Int16Array(b)],
  8: ['int32', 4, (b) => new Int32Array(b)],
  16: ['float32', 4, (b) => new Float32Array(b)],
  64: ['float64', 8, (b) => new Float64Array(b)],
  256: ['int8', 1, (b) => new Int8Array(b)],
  512: ['uint16', 2, (b) => new Uint16Array(b)],
  768: ['uint32', 4, (b) => new Uint32Array(b)],
  1024: ['int64', 8, (b) => Float64Array.from(new BigInt64Array(b), Number)],
  1280: ['uint64', 8, (b) => Float64Array.from(new BigUint64Array(b), Number)],
};

const REFUSED: Readonly<Record<number, string>> = {
  1: 'binary (1 bit per voxel)',
  32: 'complex64',
  128: 'RGB24',
  1536: 'float128',
  1792: 'complex128',
  2048: 'complex256',
  2304: 'RGBA32',
};

/**
 * Read one volume. `files` is one .nii, .nii.gz, .mgh, .mgz, .nrrd or .mha, or a header (.hdr, .nhdr, .mhd) and its voxels in any order
 * (a .hdr, an .img or a .nii may be gzipped).
 * `frame`, counted from 0, chooses the volume of a 4-D file; without it a 4-D file raises FramesError.
 */
export function readScan(files: readonly ScanFile[], frame: number | null = null): Scan {
  const { main, voxels } = arrange(files);
  const { name } = main;
  const bytes = unpack(main);
  const mgh = isMgh(bytes);
  const beside = voxels === null ? [] : [voxels];
  const itk = isNrrd(bytes) ? parseNrrd(bytes, name, beside, MAX_FILE_BYTES) : isMetaImage(bytes) ? parseMetaImage(bytes, name, beside) : null;
  const header = mgh ? parseMghHeader(bytes, name) : (itk?.header ?? parseHeader(bytes, name));
  const [dtype, itemBytes, reader] = voxelType(header, name);
  const assumptions: Note[] = [];
  const { dims, frames } = shape(header, name, assumptions);
  const affineVox2ras = itk === null ? chooseAffine(header, name, assumptions) : checkAffine(itk.affineVox2ras, header.dim, name);
  const chosen = chooseFrame(dims, frames, frame, name);

  const notes: Note[] = [];
  const frameBytes = dims[0] * dims[1] * dims[2] * itemBytes;
  const size = frameBytes * frames;
  const single = mgh || itk !== null || holdsVoxels(header, size, bytes.length, name, voxels !== null, notes);
  const content = itk?.voxels ?? (single ? bytes : unpack(imageFile(voxels, name)));
  const offset = mgh ? MGH_VOXEL_OFFSET : itk !== null ? 0 : voxelStart(header, size, content.length, name, single, notes);
  const missing = offset + size - content.length;
  if (missing > 0) {
    throw new ScanError(
      `${name}: ${missing} bytes of voxels are missing; the header promises ${shapeText(dims)} x ${frames} of ${dtype}, so the file is cut short; get it again`,
    );
  }
  notes.push(...(itk?.notes ?? []), ...assumptions);
  const start = offset + frameBytes * chosen;
  const raw = content.slice(start, start + frameBytes);
  if (!header.littleEndian) swapBytes(raw, itemBytes);
  const stored = reader(raw.buffer);
  const data = applySlope(stored, header, name);
  checkFinite(data, name, notes);
  checkContrast(data, name);
  const filled = replaceFill(data);
  if (filled !== null) notes.push(filled);
  notes.push(...valueNotes(data));
  return { name, data, dims, affineVox2ras, header, dtype, notes };
}

function arrange(files: readonly ScanFile[]): { main: ScanFile; voxels: ScanFile | null } {
  const isImage = ({ name }: ScanFile): boolean => VOXELS_ONLY.test(name);
  const voxels = files.find(isImage) ?? null;
  if (files.length === 1 && voxels !== null && beginsWithHeader(voxels)) return { main: voxels, voxels: null };
  const main = files.find((file) => !isImage(file));
  if (main === undefined) {
    const name = voxels?.name ?? 'scan';
    if (/raw(\.gz)?$/i.test(name)) throw new ScanError(`${name}: voxels without their header; give the .nhdr or .mhd file together with it`);
    throw new ScanError(`${name}: the voxels of a .hdr/.img pair without their header; give the .hdr file together with it`);
  }
  if (files.length > 2 || (files.length === 2 && voxels === null)) {
    throw new ScanError(`${files.map((file) => file.name).join(', ')}: expected one scan, got ${files.length} files; give one .nii, .nii.gz, .mgz, or a .hdr with its .img`);
  }
  return { main, voxels };
}

/** Whether a file called .img begins with a header. */
function beginsWithHeader(file: ScanFile): boolean {
  const head = unpack(file);
  const magic = (start: number): string => String.fromCharCode(...head.subarray(start, start + 4));
  return /^n[+i]1\0$/.test(magic(344)) || /^n[+i]2\0$/.test(magic(4));
}

function imageFile(voxels: ScanFile | null, name: string): ScanFile {
  if (voxels === null) {
    throw new ScanError(`${name}: the header of a .hdr/.img pair without its voxels; give the .img file together with it`);
  }
  return voxels;
}

function unpack({ name, bytes }: ScanFile): Uint8Array {
  const unpacked = isGzip(bytes) ? gunzip(bytes, name, MAX_FILE_BYTES) : bytes;
  refuseForeign(unpacked, name);
  return unpacked;
}

function voxelType(header: NiftiHeader, name: string): readonly [string, number, Reader] {
  const type = READABLE[header.datatype];
  if (type !== undefined) return type;
  const refused = REFUSED[header.datatype] ?? `unknown datatype code ${header.datatype}`;
  throw new ScanError(`${name}: voxels are ${refused}, expected one real number per voxel; choose the magnitude or grey-scale image of this scan`);
}

function shapeText(dims: readonly number[]): string {
  return dims.length === 1 ? `(${dims[0]},)` : `(${dims.join(', ')})`; // as Python writes it
}

/** Sizes along i, j, k and the number of frames; trailing axes of size 1 don't count. */
function shape(header: NiftiHeader, name: string, notes: Note[]): { dims: Dims; frames: number } {
  const rank = header.dim[0]!;
  const sizes = header.dim.slice(1, 1 + rank);
  for (let axis = 4; axis <= sizes.length; axis++) {
    if (sizes[axis - 1] !== 0) continue;
    sizes[axis - 1] = 1;
    notes.push(note('dim-zero', axis));
  }
  while (sizes.length > 3 && sizes.at(-1) === 1) sizes.pop();
  if (sizes.length < 3 || sizes.length > 4) {
    throw new ScanError(`${name}: expected a 3-D volume, got shape ${shapeText(sizes)}; convert it to one 3-D file`);
  }
  const space = sizes.slice(0, 3);
  const voxels = space.reduce((product, size) => product * size, 1);
  if (Math.min(...sizes) < 1 || Math.min(...space) < MIN_DIM || Math.max(...space) > MAX_DIM || voxels > MAX_VOXELS) {
    throw new ScanError(
      `${name}: shape ${shapeText(sizes)} is no 3-D head scan; expected ${MIN_DIM} to ${MAX_DIM} voxels per axis and at most ${MAX_VOXELS} in all; give all slices of the series together, or check the conversion of this file`,
    );
  }
  return { dims: space as unknown as Dims, frames: sizes[3] ?? 1 };
}

function chooseFrame(dims: Dims, frames: number, frame: number | null, name: string): number {
  if (frame === null && frames > 1) {
    throw new FramesError(`${name}: expected a 3-D volume, got shape ${shapeText([...dims, frames])}; pick one of its frames, 0 to ${frames - 1}`, frames);
  }
  const chosen = frame ?? 0;
  if (!Number.isInteger(chosen) || chosen < 0 || chosen >= frames) {
    throw new ScanError(`${name}: frame ${chosen} is out of range; this scan has frames 0 to ${frames - 1}`);
  }
  return chosen;
}

function swapBytes(bytes: Uint8Array, itemBytes: number): void {
  for (let start = 0; itemBytes > 1 && start < bytes.length; start += itemBytes) {
    for (let low = start, high = start + itemBytes - 1; low < high; low++, high--) {
      const byte = bytes[low]!;
      bytes[low] = bytes[high]!;
      bytes[high] = byte;
    }
  }
}

/** value · slope + intercept in float64; a slope of 0 or NaN means "not scaled". */
function applySlope(stored: VoxelArray, header: NiftiHeader, name: string): VoxelArray {
  const { scl_slope: slope, scl_inter: inter } = header;
  if (slope === 0 || !Number.isFinite(slope)) return stored;
  if (!Number.isFinite(inter)) {
    throw new ScanError(`${name}: the slope is ${general(slope)} but the intercept is ${general(inter)}; convert the scan again`);
  }
  if (slope === 1 && inter === 0) return stored;
  const data = new Float64Array(stored.length);
  for (let n = 0; n < data.length; n++) data[n] = stored[n]! * slope + inter;
  return data;
}

/** NaN becomes 0, as SPM's background is meant. Raises ScanError for infinite values and values too far apart. */
function checkFinite(data: VoxelArray, name: string, notes: Note[]): void {
  if (!(data instanceof Float32Array || data instanceof Float64Array)) return;
  let [infinite, nan, low, high] = [0, 0, Infinity, -Infinity];
  for (let n = 0; n < data.length; n++) {
    let value = data[n]!;
    // x − x is 0 for every finite number and NaN for the others.
    if (value - value !== 0) {
      if (value === value) infinite++;
      else nan++;
      data[n] = value = 0;
    }
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (infinite > 0) {
    throw new ScanError(`${name}: ${infinite + nan} of ${data.length} voxels are NaN or infinite; replace them (for instance by 0) and try again`);
  }
  if (!Number.isFinite(high - low)) {
    throw new ScanError(`${name}: values from ${low} to ${high} are too far apart to be a scan's; correct them and try again`);
  }
  if (nan > 0) notes.push(note('nan-read-as-zero', nan / data.length));
}

function valueNotes(data: VoxelArray): Note[] {
  if (isLabelLike(data)) return [note('label-like')];
  const few = countFewValues(data);
  if (few !== null) return [note('few-values', few)];
  return isProbabilityLike(data) ? [note('probability-like')] : [];
}

function checkContrast(data: VoxelArray, name: string): void {
  const first = data[0]!;
  for (let n = 1; n < data.length; n++) if (data[n] !== first) return;
  throw new ScanError(`${name}: every voxel has the value ${general(first)}; a constant image has nothing to segment`);
}
