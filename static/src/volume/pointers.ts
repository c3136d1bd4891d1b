// Files that stand in for a scan: pointers whose content was not fetched, and web pages saved in its place.
import { ScanError } from './errors';

const LONGEST_POINTER_BYTES = 2048;

/** Raises ScanError where the bytes are a pointer of git-annex or Git LFS, or an HTML page. */
export function refusePointer(bytes: Uint8Array, name: string): void {
  const start = new TextDecoder('latin1').decode(bytes.subarray(0, LONGEST_POINTER_BYTES)).trimStart();
  const annex = bytes.length <= LONGEST_POINTER_BYTES && /^[\x20-\x7e]*\/annex\/objects\//.test(start);
  if (annex || start.startsWith('version https://git-lfs')) {
    throw new ScanError(`${name}: is a pointer of git-annex / Git LFS, not the scan; fetch the content first (git annex get / datalad get / git lfs pull)`);
  }
  if (/^(<!doctype html|<html)/i.test(start)) throw new ScanError(`${name}: is a web page (HTML), not a scan; download the file itself`);
}
