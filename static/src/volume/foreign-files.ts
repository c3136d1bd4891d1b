// Says what a file is that is no scan, by its first bytes, and what to do about it. Twin of
// meshnet/scan/foreign_files.py, with the same table and the same sentences.
import { ScanError } from './errors';

const HEAD_BYTES = 540;

const UNPACK = 'unpack it and give the scan inside';
const PICTURE = 'a picture has no voxel sizes; export the scan as DICOM or .nii.gz';
const CONVERT = 'convert the scan to .nii.gz';
const EXPECTED = 'expected .nii, .nii.gz, .hdr/.img, .mgh or .mgz';

/** Place and bytes (as Latin-1) of a mark, what has it, and the remedy. */
const MARKS: readonly (readonly [place: number, mark: string, what: string, remedy: string])[] = [
  [0, 'BZh', 'compressed with bzip2', UNPACK],
  [0, '\xfd7zXZ\0', 'compressed with xz', UNPACK],
  [0, '\x28\xb5\x2f\xfd', 'compressed with Zstandard', UNPACK],
  [0, '7z\xbc\xaf\x27\x1c', 'a 7-Zip archive', UNPACK],
  [0, 'Rar!\x1a\x07', 'a RAR archive', UNPACK],
  [0, 'PK\x03\x04', 'a zip archive', UNPACK],
  [257, 'ustar', 'a tar archive', UNPACK],
  [0, '\x89PNG', 'a PNG picture', PICTURE],
  [0, '\xff\xd8\xff', 'a JPEG picture', PICTURE],
  [0, 'GIF8', 'a GIF picture', PICTURE],
  [0, 'II*\0', 'a TIFF picture', PICTURE],
  [0, 'MM\0*', 'a TIFF picture', PICTURE],
  [0, '%PDF', 'a PDF document', PICTURE],
  [0, '\x89HDF', 'HDF5, such as MINC 2 or a Keras model', `${CONVERT} (mnc2nii)`],
  [0, 'CDF\x01', 'NetCDF, such as MINC 1', `${CONVERT} (mnc2nii)`],
  [0, 'CDF\x02', 'NetCDF, such as MINC 1', `${CONVERT} (mnc2nii)`],
  [0, 'NRRD', 'NRRD', CONVERT],
  [0, 'ObjectType', 'MetaImage', CONVERT],
  [0, 'NDims', 'MetaImage', CONVERT],
  [0, '\x93NUMPY', 'a NumPy array', `${CONVERT}, with its affine (nibabel)`],
  [0, 'MATLAB', 'a MATLAB file', `${CONVERT}, with its affine`],
  [0, '<?xml', 'XML', 'download the scan itself'],
  [128, 'DICM', 'a DICOM file, which dcm2niix converts', 'give the folder of the series'],
];

/** Raises ScanError for an empty file, doubled compression, a pointer and a web page. `bytes`: of the unpacked file. */
export function refuseForeign(bytes: Uint8Array, name: string): void {
  const head = latin1(bytes, 0, HEAD_BYTES);
  const text = head.replace(/^(\xef\xbb\xbf)?[\t\n\v\f\r ]*(\xef\xbb\xbf)?/, '').toLowerCase();
  if (head === '') throw new ScanError(`${name}: the file is empty; get it again`);
  if (head.startsWith('\x1f\x8b')) throw new ScanError(`${name}: is compressed twice; unpack it once (gunzip) and try again`);
  if (isAnnexPath(head) || text.startsWith('version https://git-lfs')) {
    throw new ScanError(`${name}: is a pointer of git-annex / Git LFS, not the scan; fetch the content first (git annex get / datalad get / git lfs pull)`);
  }
  if (/^(<!doctype html|<html)/.test(text)) throw new ScanError(`${name}: is a web page (HTML), not a scan; download the file itself`);
}

/** The sentence about a file that begins like no format that is read. */
export function notAScan(bytes: Uint8Array): string {
  const known = MARKS.find(([place, mark]) => latin1(bytes, place, place + mark.length) === mark);
  if (known !== undefined) return `not a NIfTI or MGH file (${known[2]}); ${known[3]}`;
  return `not a NIfTI or MGH file (it starts with ${startOf(bytes)}); ${EXPECTED}`;
}

/** Whether a short text is the path that a checkout without links has in place of git-annex's content. */
function isAnnexPath(head: string): boolean {
  return head.replaceAll('\\', '/').includes('/annex/objects/') && !head.includes('\0');
}

/** The first eight bytes: as text where they are ASCII, else in hex. */
function startOf(bytes: Uint8Array): string {
  const start = [...bytes.subarray(0, 8)];
  if (start.every((byte) => (byte >= 32 && byte < 127) || byte === 9 || byte === 10 || byte === 13)) {
    return `"${start.map((byte) => (byte >= 32 ? String.fromCharCode(byte) : ' ')).join('')}"`;
  }
  return `bytes ${start.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')}`;
}

function latin1(bytes: Uint8Array, start: number, end: number): string {
  return String.fromCharCode(...bytes.subarray(start, end));
}
