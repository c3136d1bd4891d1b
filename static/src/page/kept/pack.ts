// Plain data with typed arrays as bytes and back. Layout: "MNKEPT1\0", the length of the JSON (uint32, little endian), the JSON,
// then the arrays' bytes, each at a multiple of 8 from the end of the JSON. In the JSON an array stands as { $array: [type, offset, length] }.
// Numbers that JSON has no words for (NaN, infinities, -0) stand as { $number: text }.

const MAGIC = new TextEncoder().encode('MNKEPT1\0');
const HEAD_BYTES = MAGIC.length + 4;

const ARRAYS = { Uint8Array, Uint16Array, Uint32Array, Int16Array, Int32Array, Float32Array, Float64Array } as const;
type PackedArray = InstanceType<(typeof ARRAYS)[keyof typeof ARRAYS]>;

/** Bytes of a value made of objects, arrays, strings, numbers, booleans, null and typed arrays. Properties that are undefined are left out. */
export function pack(value: unknown): Blob {
  const arrays: PackedArray[] = [];
  let offset = 0;
  const json = JSON.stringify(value, (_, part: unknown): unknown => {
    if (ArrayBuffer.isView(part)) {
      const array = part as PackedArray;
      const place = [array.constructor.name, offset, array.length];
      arrays.push(array);
      offset = padded(offset + array.byteLength);
      return { $array: place };
    }
    if (Object.is(part, -0)) return { $number: '-0' };
    return typeof part === 'number' && !Number.isFinite(part) ? { $number: String(part) } : part;
  });
  const text = new TextEncoder().encode(json);
  const head = new Uint8Array(HEAD_BYTES);
  head.set(MAGIC);
  new DataView(head.buffer).setUint32(MAGIC.length, text.length, true);
  const parts = arrays.map((array) => {
    const bytes = new Uint8Array(padded(array.byteLength));
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    return bytes;
  });
  return new Blob([head, text, ...parts]);
}

/** The value of `pack`. Throws an Error where the bytes are not of this layout, or end early. */
export function unpack(bytes: Uint8Array): unknown {
  if (bytes.length < HEAD_BYTES || MAGIC.some((byte, n) => bytes[n] !== byte)) throw new Error('expected data that this page kept, got something else');
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(MAGIC.length, true);
  const start = HEAD_BYTES + length;
  if (start > bytes.length) throw new Error('the kept data ends early');
  return JSON.parse(new TextDecoder().decode(bytes.subarray(HEAD_BYTES, start)), (_, part: unknown): unknown => {
    if (typeof part !== 'object' || part === null) return part;
    if ('$number' in part) return Number(part.$number);
    return '$array' in part ? arrayAt(bytes, start, part.$array as [keyof typeof ARRAYS, number, number]) : part;
  });
}

function arrayAt(bytes: Uint8Array, start: number, [type, offset, length]: readonly [keyof typeof ARRAYS, number, number]): PackedArray {
  const { BYTES_PER_ELEMENT } = ARRAYS[type];
  const from = start + offset;
  const to = from + length * BYTES_PER_ELEMENT;
  if (to > bytes.length) throw new Error('the kept data ends early');
  // A copy, which is aligned and keeps nothing else in memory.
  return new ARRAYS[type](bytes.slice(from, to).buffer);
}

function padded(length: number): number {
  return Math.ceil(length / 8) * 8;
}
