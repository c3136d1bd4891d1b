// The affine of a NIfTI header: sform if its code is set, else qform, else voxel sizes about the centre, x flipped, as
// nibabel chooses; always in mm. The notes say what was assumed. Twin of affine_in_mm in meshnet/scan/nifti_header.py.
import { determinant } from './affine';
import { ScanError } from './errors';
import type { NiftiHeader } from './nifti-header';
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

/** The voxel-to-RAS affine in mm. Adds to `notes`; raises ScanError where the voxels have no size or no place in space. */
export function chooseAffine(header: NiftiHeader, name: string, notes: Note[]): Affine {
  const [mm, unitNote] = UNITS[header.xyzt_units & 7] ?? [1, null];
  if (unitNote !== null) notes.push(note(unitNote));
  const inMm = (affine: Affine): Affine => (mm === 1 ? affine : affine.map((value, n) => (n < 12 ? value * mm : value)));

  const sform = header.sform_code > 0 ? inMm([...header.srow, 0, 0, 0, 1]) : null;
  if (sform !== null && isRegular(sform)) {
    const qform = header.qform_code > 0 ? usableQform(header, name) : null;
    if (qform !== null && sidesDiffer(sform, qform)) notes.push(note('forms-disagree'));
    return sform;
  }
  if (sform !== null && header.qform_code === 0) refuseSingular(sform, name);
  if (sform !== null) notes.push(note('sform-unusable'));
  refuseWithoutSize(header, name);
  if (sform === null && header.qform_code === 0) notes.push(note('no-forms'));
  const affine = inMm(header.qform_code > 0 ? qformAffine(header, name) : sizesAboutCentre(header));
  if (!isRegular(affine)) refuseSingular(affine, name);
  return affine;
}

function isRegular(affine: Affine): boolean {
  return affine.every(Number.isFinite) && Math.abs(determinant(affine)) > SMALLEST_VOXEL_MM3;
}

/** The qform's affine, or null where none can be made of it. */
function usableQform(header: NiftiHeader, name: string): Affine | null {
  try {
    const affine = header.fileSizes.every(isSize) ? qformAffine(header, name) : [];
    return affine.length === 16 && affine.every(Number.isFinite) && determinant(affine) !== 0 ? affine : null;
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

function refuseSingular(affine: Affine, name: string): never {
  const rows = [0, 4, 8].map((start) => `[${affine.slice(start, start + 4).join(', ')}]`);
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
    throw new ScanError(`${name}: no affine can be made of its qform (the quaternion ${b}, ${c}, ${d} is longer than 1); convert the scan again`);
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
