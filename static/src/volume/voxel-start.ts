// Where the voxels of a NIfTI file start. Twin of `_image_path` and `_voxel_start` in meshnet/scan/nifti_voxels.py.
import { ScanError } from './errors';
import { HEADER_BYTES, type NiftiHeader } from './nifti-header';
import { general, note, type Note } from './notes';

/**
 * Whether the voxels are in the header's file. A file that isn't called .hdr holds them whatever its magic, unless an .img
 * came with it. A .hdr with the magic of a single file holds them unless it is too short for `size` bytes and an .img came
 * with it. Adds to `notes`.
 */
export function holdsVoxels(header: NiftiHeader, size: number, fileBytes: number, name: string, hasImage: boolean, notes: Note[]): boolean {
  const isCalledHeader = /\.hdr(\.gz)?$/i.test(name);
  if (!header.singleFile) {
    if (hasImage || isCalledHeader) return false;
    notes.push(note('magic-of-a-pair'));
    return true;
  }
  if (!(isCalledHeader && hasImage && fileBytes < size)) return true;
  notes.push(note('magic-of-a-single-file'));
  return false;
}

/**
 * The byte at which `size` bytes of voxels start in a file of `fileBytes`. An offset of 0 is the first byte after a single
 * file's header and its four bytes of flags. An offset that can't be right is replaced, with a note, where the length of
 * the file leaves one possibility; otherwise ScanError is raised.
 */
export function voxelStart(header: NiftiHeader, size: number, fileBytes: number, name: string, single: boolean, notes: Note[]): number {
  const said = header.vox_offset;
  const headerBytes = HEADER_BYTES[header.version];
  const first = single ? headerBytes + 4 : 0;
  if (!(said >= 0 && said < 2 ** 40)) throw new ScanError(`${name}: vox_offset ${general(said)} is not a valid position; convert the scan again`);
  const start = Math.trunc(said) || first;
  if (start >= first && ((single ? said > 0 : said === 0) || start + size <= fileBytes)) return start;
  const others = single ? (said === 0 || said >= headerBytes ? [headerBytes, first] : []) : [0];
  const fitting = others.find((other) => other + size === fileBytes);
  if (fitting !== undefined) {
    notes.push(note('offset-repaired', said, fitting));
    return fitting;
  }
  if (start < first) {
    throw new ScanError(`${name}: damaged NIfTI header (vox_offset ${start} lies before the end of the header, ${first}); convert or export the scan again`);
  }
  return start;
}
