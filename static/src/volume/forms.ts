// The affine of a NIfTI header: sform if its code is set, else qform, else voxel sizes about the centre, x flipped, as
// nibabel chooses; always in mm. The notes say what was assumed. Twin of affine_in_mm in meshnet/scan/nifti_header.py.
import { determinant, voxelSizeMm } from './affine';
import { ScanError } from './errors';
import { isKnownCode, type NiftiHeader } from './nifti-header';
import { general, note, type Note } from './notes';
import type { Affine } from './volume';

const SMALLEST_VOXEL_MM3 = 1e-9;

/** By how much b² + c² + d² of a quaternion may exceed 1. */
const LARGEST_EXCESS = 1e-5;

/** xyzt_units & 7 → mm per unit, and the note's code. */
const UNITS: Readonly<Record<number, readonly [number, 'units-metre' | 'units-micron']>> = {
  1: [1000, 'units-metre'],
  3: [0.001, 'units-micron'],
};

/** A field of view and a distance from the origin (mm) that no scan of a person has. */
const [LARGEST_FIELD_MM, LARGEST_DISTANCE_MM] = [1e6, 1e7];
/** Columns of sform and qform whose angle has a smaller cosine point in different directions (60 degrees). */
const SAME_DIRECTION = 0.5;
/** sform and pixdim agree about the voxel's volume up to this factor. */
const SAME_VOLUME = 1.1;
const TINY = 2 ** -1022;

/** The voxel-to-RAS affine in mm. Adds to `notes`; raises ScanError where the voxels have no size or no place in space. */
export function chooseAffine(header: NiftiHeader, name: string, notes: Note[]): Affine {
  const [mm, unitNote] = UNITS[header.xyzt_units & 7] ?? [1, null];
  const inMm = (affine: Affine): Affine => (mm === 1 ? affine : affine.map((value, n) => (n < 12 ? value * mm : value)));
  const sform = header.sform_code > 0 ? inMm([...header.srow, 0, 0, 0, 1]) : null;
  const isUsable = sform !== null && isRegular(sform);

  notes.push(...unknownCodes(header));
  if (isUsable && mm === 1) notes.push(...sizesDisagree(sform, header));
  if (unitNote !== null) notes.push(note(unitNote));
  if (isUsable) {
    checkAffine(sform, header.dim, name);
    if (header.qform_code > 0) notes.push(...formsDisagree(sform, header, name));
    return sform;
  }
  if (sform !== null && header.qform_code === 0) refuseSingular(sform, name);
  if (sform !== null) notes.push(note('sform-unusable'));
  refuseWithoutSize(header, name);
  if (sform === null && header.qform_code === 0) notes.push(note('no-forms'));
  return checkAffine(inMm(header.qform_code > 0 ? qformAffine(header, name) : sizesAboutCentre(header)), header.dim, name);
}

/** The affine itself. Raises ScanError where it is not finite, its voxels have no volume, or its field of view is too large for a scan of a person. `dim`: NIfTI's, with the rank first. */
export function checkAffine(affine: Affine, dim: readonly number[], name: string): Affine {
  if (!isRegular(affine)) refuseSingular(affine, name);
  const sizes = voxelSizeMm(affine);
  const field = Math.max(...sizes.map((size, axis) => size * dim[axis + 1]!));
  const distance = Math.max(...[3, 7, 11].map((n) => Math.abs(affine[n]!)));
  if (field > LARGEST_FIELD_MM || distance > LARGEST_DISTANCE_MM) {
    throw new ScanError(
      `${name}: its voxels of ${sizes.map(general).join(' x ')} mm span ${general(field)} mm and lie ${general(distance)} mm from the origin, which no scan of a head does; check xyzt_units, pixdim and sform, or convert the original images again`,
    );
  }
  return affine;
}

function isRegular(affine: Affine): boolean {
  return affine.every(Number.isFinite) && Math.abs(determinant(affine)) > SMALLEST_VOXEL_MM3;
}

/** Codes of the forms that NIfTI doesn't define are read as 0. */
function unknownCodes({ fileCodes }: NiftiHeader): Note[] {
  return fileCodes.flatMap(([form, code]) => (isKnownCode(code) ? [] : [note('form-code-unknown', form, code)]));
}

/** A note where the sform, which is used, has voxels of another volume than pixdim. Where the units are not mm, writers differ in what they give in these units, so none is made. */
function sizesDisagree(sform: Affine, { fileSizes }: NiftiHeader): Note[] {
  if (!fileSizes.every(isSize)) return [];
  const ofSform = voxelSizeMm(sform).reduce((product, size) => product * size, 1);
  const ofPixdim = fileSizes.reduce((product, size) => product * Math.abs(size), 1);
  const ratio = ofSform / ofPixdim;
  return fileSizes.length === 0 || ofPixdim === 0 || (ratio >= 1 / SAME_VOLUME && ratio <= SAME_VOLUME) ? [] : [note('sizes-disagree', ofSform, ofPixdim)];
}

/** A note where the qform, if it can be made, has other sides or directions than the sform. */
function formsDisagree(sform: Affine, header: NiftiHeader, name: string): Note[] {
  const qform = usableQform(header, name);
  if (qform === null) return [];
  const sides = sidesDiffer(sform, qform);
  return sides || directionsDiffer(sform, qform) ? [note('forms-disagree', sides)] : [];
}

/** The qform's affine, or null where none can be made of it. */
function usableQform(header: NiftiHeader, name: string): Affine | null {
  try {
    const affine = qformAffine(header, name);
    return affine.every(Number.isFinite) ? affine : null;
  } catch (error) {
    if (error instanceof ScanError) return null;
    throw error;
  }
}

/** Whether one affine is a mirror image of the other, or the axis that runs left-right in the first runs the other way in the second. */
function sidesDiffer(a: Affine, b: Affine): boolean {
  const x = a.slice(0, 3).map(Math.abs);
  const column = x.indexOf(Math.max(...x));
  return determinant(a) * determinant(b) < 0 || a[column]! * b[column]! < 0;
}

/** Whether an axis of the voxels points in different directions by the two affines. */
function directionsDiffer(a: Affine, b: Affine): boolean {
  const [sizeA, sizeB] = [voxelSizeMm(a), voxelSizeMm(b)];
  return [0, 1, 2].some((column) => {
    const product = [0, 4, 8].reduce((sum, row) => sum + a[row + column]! * b[row + column]!, 0);
    return product / Math.max(sizeA[column]! * sizeB[column]!, TINY) < SAME_DIRECTION;
  });
}

function refuseSingular(affine: Affine, name: string): never {
  const rows = [0, 4, 8].map((start) => `[${affine.slice(start, start + 4).map(general).join(', ')}]`);
  throw new ScanError(`${name}: its affine is singular or non-finite (rows ${rows.join(', ')}), so voxels have no place in space; repair the sform/qform or convert the scan again`);
}

function refuseWithoutSize({ fileSizes }: NiftiHeader, name: string): void {
  if (fileSizes.every(isSize)) return;
  throw new ScanError(`${name}: its header has no voxel size (pixdim ${fileSizes.map(general).join(', ')}) and no affine; volumes could not be measured; convert the original images again`);
}

function isSize(value: number): boolean {
  return Number.isFinite(value) && value !== 0;
}

function sizesAboutCentre(header: NiftiHeader): Affine {
  const [sx, sy, sz] = [-header.pixdim[1]!, header.pixdim[2]!, header.pixdim[3]!];
  const origin = (axis: 1 | 2 | 3, size: number): number => (-(header.dim[axis]! - 1) / 2) * size;
  return [sx, 0, 0, origin(1, sx), 0, sy, 0, origin(2, sy), 0, 0, sz, origin(3, sz), 0, 0, 0, 1];
}

/** Rotation from the unit quaternion, times voxel sizes, the third with the sign of pixdim[0] (NIfTI-1 standard, method 2). */
function qformAffine(header: NiftiHeader, name: string): Affine {
  const [b, c, d] = header.quatern as [number, number, number];
  const square = 1 - (b * b + c * c + d * d);
  // Three float32 (or float64) roundings may take a² of a half turn a little away from zero; writers that round the
  // angles take it further below, and the rotation is made of the quaternion scaled to length 1.
  const tolerance = 3 * (header.version === 1 ? 2 ** -23 : 2 ** -52);
  if (!(square > -LARGEST_EXCESS)) {
    throw new ScanError(`${name}: no affine can be made of its qform (the quaternion ${[b, c, d].map(general).join(', ')} is longer than 1); convert the scan again`);
  }
  const a = square < tolerance ? 0 : Math.sqrt(square);
  const s = 2 / (a * a + b * b + c * c + d * d);
  const rotation = [
    1 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c),
    s * (b * c + a * d), 1 - s * (b * b + d * d), s * (c * d - a * b),
    s * (b * d - a * c), s * (c * d + a * b), 1 - s * (b * b + c * c),
  ];
  const size = [header.pixdim[1]!, header.pixdim[2]!, header.pixdim[3]! * header.pixdim[0]!];
  const row = (r: 0 | 1 | 2): number[] => [...[0, 1, 2].map((column) => rotation[3 * r + column]! * size[column]!), header.qoffset[r]!];
  return [...row(0), ...row(1), ...row(2), 0, 0, 0, 1];
}
