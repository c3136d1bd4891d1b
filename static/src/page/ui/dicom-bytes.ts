// DICOM files by their content: names are arbitrary in this format, and old or anonymised files lack the preamble.

import { say } from '../texts/message';
import type { Text } from '../texts/message';

const PREAMBLE_BYTES = 128;
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
const IMPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2';

/** Whether the file has the mark DICM, begins with it, or begins with a DICOM element of group 2 or 8. */
export async function isDicom(file: File): Promise<boolean> {
  return formOf(await headOf(file)) !== null;
}

/** SOP classes Segmentation Storage and Label Map Segmentation Storage, as they end in a meta header. */
const SEGMENTATION = /1\.2\.840\.10008\.5\.1\.4\.1\.1\.66\.[47][\0\x02]/;

/** Whether a DICOM file's meta header says that it is a segmentation, which dcm2niix would convert like a scan. */
export async function isSegmentation(file: File): Promise<boolean> {
  return SEGMENTATION.test(String.fromCharCode(...new Uint8Array(await file.slice(0, 1024).arrayBuffer())));
}

/** The file with preamble and mark, which the converter expects; the same file where it has them. */
export async function withPreamble(file: File): Promise<File> {
  const form = formOf(await headOf(file));
  if (form === null || form === 'whole') return file;
  const start = [new Uint8Array(PREAMBLE_BYTES)];
  if (form === 'meta') start.push(ascii('DICM'));
  else if (form !== 'mark') start.push(ascii('DICM'), metaOf(form));
  return new File([...start, file], file.name);
}

/** Transfer syntaxes that dcm2niix can't read. */
const UNREADABLE: readonly (readonly [uid: RegExp, name: Text])[] = [
  [/^1\.2\.840\.10008\.1\.2\.1\.99$/, say('open.deflated')],
  [/^1\.2\.840\.10008\.1\.2\.4\.(94|95)$/, say('open.jpip')],
  [/^1\.2\.840\.10008\.1\.2\.4\.10\d(\.1)?$/, say('open.video')],
  [/^1\.2\.840\.10008\.1\.2\.4\.(110|111|112)$/, 'JPEG XL'],
  [/^1\.2\.840\.10008\.1\.2\.4\.20\d$/, 'High-Throughput JPEG 2000'],
];

const LONGEST_META_BYTES = 4096;

/** Name and UID of the file's transfer syntax where the converter can't read it; null otherwise. */
export async function unreadableSyntax(file: File): Promise<Text | null> {
  const start = PREAMBLE_BYTES + 4;
  const view = new DataView(await file.slice(start, start + LONGEST_META_BYTES).arrayBuffer());
  // Elements of the meta header: group, element, VR, length (of 4 bytes after 2 unused ones for OB), value.
  for (let at = 0; at + 8 <= view.byteLength && view.getUint16(at, true) === 2;) {
    const isLong = String.fromCharCode(view.getUint8(at + 4), view.getUint8(at + 5)) === 'OB';
    if (isLong && at + 12 > view.byteLength) break;
    const length = isLong ? view.getUint32(at + 8, true) : view.getUint16(at + 6, true);
    const value = at + (isLong ? 12 : 8);
    if (view.getUint16(at + 2, true) === 0x10) {
      const bytes = new Uint8Array(view.buffer, Math.min(value, view.byteLength), Math.max(0, Math.min(length, view.byteLength - value)));
      const uid = String.fromCharCode(...bytes).replace(/[\0 ]+$/, '');
      const known = UNREADABLE.find(([pattern]) => pattern.test(uid));
      return known === undefined ? null : say('open.syntaxNamed', { name: known[1], uid });
    }
    at = value + length;
  }
  return null;
}

/** Tags of PixelSpacing, ImagerPixelSpacing and NominalScannedPixelSpacing in either byte order, searched as bytes. */
const SPACING_TAGS = /\x28\0\x30\0|\0\x28\0\x30|\x18\0\x64\x11|\x18\0\x10\x20/;
const HEAD_BYTES = 2 ** 16;

/** Whether all slices of the series with a UID lack PixelSpacing, so that dcm2niix assumed 1 mm. */
export async function withoutPixelSpacing(files: readonly File[]): Promise<(seriesUid: string) => boolean> {
  const decoder = new TextDecoder('latin1');
  const heads: string[] = [];
  for (const file of files) heads.push(decoder.decode(await file.slice(0, HEAD_BYTES).arrayBuffer()));
  const lacking = heads.filter((head) => !SPACING_TAGS.test(head));
  const having = lacking.length === 0 ? [] : heads.filter((head) => SPACING_TAGS.test(head));
  return (seriesUid) => lacking.some((head) => head.includes(seriesUid)) && !having.some((head) => head.includes(seriesUid));
}

type Form = 'whole' | 'mark' | 'meta' | 'explicit' | 'implicit';

async function headOf(file: File): Promise<Uint8Array> {
  return new Uint8Array(await file.slice(0, PREAMBLE_BYTES + 4).arrayBuffer());
}

function formOf(head: Uint8Array): Form | null {
  const text = (start: number, end: number): string => String.fromCharCode(...head.subarray(start, end));
  if (text(PREAMBLE_BYTES, PREAMBLE_BYTES + 4) === 'DICM') return 'whole';
  if (head.length < 12) return null;
  const view = new DataView(head.buffer, head.byteOffset);
  if (text(0, 4) === 'DICM' && view.getUint16(4, true) === 2) return 'mark';
  const [group, element] = [view.getUint16(0, true), view.getUint16(2, true)];
  const explicit = /^[A-Z]{2}$/.test(text(4, 6));
  if (group === 2 && element <= 0x10 && explicit) return 'meta';
  // Group length, Language Code, Specific Character Set, Image Type, dates, SOP class: what group 8 begins with.
  if (group !== 8 || element > 0x20) return null;
  if (explicit) return 'explicit';
  return view.getUint32(4, true) <= 256 ? 'implicit' : null;
}

/** The meta header with nothing but the transfer syntax. */
function metaOf(form: 'explicit' | 'implicit'): Uint8Array<ArrayBuffer> {
  const uid = form === 'explicit' ? EXPLICIT_LITTLE_ENDIAN : IMPLICIT_LITTLE_ENDIAN;
  const padded = uid.length % 2 === 0 ? uid : `${uid}\0`;
  const bytes = new Uint8Array(12 + 8 + padded.length);
  const view = new DataView(bytes.buffer);
  const element = (at: number, tag: number, vr: string, length: number): void => {
    view.setUint16(at, 2, true);
    view.setUint16(at + 2, tag, true);
    bytes.set(ascii(vr), at + 4);
    view.setUint16(at + 6, length, true);
  };
  element(0, 0, 'UL', 4);
  view.setUint32(8, 8 + padded.length, true);
  element(12, 0x10, 'UI', padded.length);
  bytes.set(ascii(padded), 20);
  return bytes;
}

function ascii(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (c) => c.charCodeAt(0));
}
