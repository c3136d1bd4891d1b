// Writes DICOM data sets: Explicit VR Little Endian (PS3.5, chapter 7), sequences and items of defined length.

/** One element; the value is bytes, or the items of a sequence. */
export interface Element {
  /** Group and element: 0x00100010. */
  readonly tag: number;
  readonly vr: string;
  readonly value: Uint8Array | readonly DataSetOf[];
}

/** Elements in any order; they are written by their tags. */
export type DataSetOf = readonly Element[];

/** VRs with a length of four bytes. */
const LONG = new Set(['OB', 'OW', 'SQ', 'UN', 'UT']);

/** Text of ASCII letters; others become question marks, because the source's character set is kept. Several values: joined by a backslash. */
export function text(tag: number, vr: string, ...values: readonly string[]): Element {
  const ascii = values.join('\\').replace(/[^\x20-\x7e]/g, '?');
  return { tag, vr, value: Uint8Array.from(ascii, (letter) => letter.charCodeAt(0)) };
}

/** Unsigned integers of 16 bits. */
export function us(tag: number, ...values: readonly number[]): Element {
  return { tag, vr: 'US', value: littleEndian(values, 2) };
}

/** Unsigned integers of 32 bits. */
export function ul(tag: number, ...values: readonly number[]): Element {
  return { tag, vr: 'UL', value: littleEndian(values, 4) };
}

/** The tag of another element. */
export function at(tag: number, pointed: number): Element {
  return { tag, vr: 'AT', value: littleEndian([pointed >>> 16, pointed & 0xffff], 2) };
}

export function sequence(tag: number, ...items: readonly DataSetOf[]): Element {
  return { tag, vr: 'SQ', value: items };
}

/** A file: preamble, mark, meta header (group 2) with the length of its group, data set. */
export function encodeFile(meta: DataSetOf, dataSet: DataSetOf): Uint8Array {
  const group = encode(meta);
  return concatenated([new Uint8Array(128), ascii('DICM'), encode([ul(0x00020000, group.length)]), group, encode(dataSet)]);
}

function encode(dataSet: DataSetOf): Uint8Array {
  const sorted = [...dataSet].sort((one, other) => one.tag - other.tag);
  return concatenated(sorted.flatMap(({ tag, vr, value }) => {
    const content = value instanceof Uint8Array ? padded(value, vr) : concatenated(value.flatMap((item) => {
      const inside = encode(item);
      return [head(0xfffee000, null, inside.length), inside];
    }));
    return [head(tag, vr, content.length), content];
  }));
}

/** Tag, VR and length; an item has no VR. */
function head(tag: number, vr: string | null, length: number): Uint8Array {
  const isLong = vr !== null && LONG.has(vr);
  const bytes = new Uint8Array(isLong ? 12 : 8);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, tag >>> 16, true);
  view.setUint16(2, tag & 0xffff, true);
  if (vr === null) view.setUint32(4, length, true);
  else {
    bytes.set(ascii(vr), 4);
    if (isLong) view.setUint32(8, length, true);
    else view.setUint16(6, length, true);
  }
  return bytes;
}

/** Values have an even length: text ends in a space, UIDs and bytes in a zero. */
function padded(value: Uint8Array, vr: string): Uint8Array {
  if (value.length % 2 === 0) return value;
  const out = new Uint8Array(value.length + 1);
  out.set(value);
  if (vr !== 'UI' && vr !== 'OB') out[value.length] = 0x20;
  return out;
}

function littleEndian(values: readonly number[], size: 2 | 4): Uint8Array {
  const bytes = new Uint8Array(values.length * size);
  const view = new DataView(bytes.buffer);
  values.forEach((value, n) => { if (size === 2) view.setUint16(2 * n, value, true); else view.setUint32(4 * n, value, true); });
  return bytes;
}

function ascii(letters: string): Uint8Array {
  return Uint8Array.from(letters, (letter) => letter.charCodeAt(0));
}

function concatenated(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let place = 0;
  for (const part of parts) {
    out.set(part, place);
    place += part.length;
  }
  return out;
}
