// Gzip both ways with fflate, and files by the browser's DecompressionStream where that can read them: it takes 0.2 s for a scan
// for which fflate takes 0.6 s, but is asynchronous and refuses files of several members (bgzip). fflate does not check the
// checksum; `gunzip` does.
import { Gunzip, gzipSync } from 'fflate';
import { ScanError } from './errors';

const PUSH_BYTES = 1 << 20;
const TRAILER_BYTES = 8;
/** Deflate cannot shrink more than this many fold. */
const MOST_SHRINK = 1032;

export function isGzip(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * Gunzip a whole file of one or more members, and of zeros behind them (some archives pad with them).
 * Raises ScanError where the stream is cut short or damaged, or grows beyond `maxBytes`.
 */
export function gunzip(bytes: Uint8Array, name: string, maxBytes: number): Uint8Array {
  try {
    return gunzipWhole(bytes, name, maxBytes);
  } catch (error) {
    // The size that ends a file may end in zeros itself, so all of it is tried first.
    const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
    for (let padded = end; padded < Math.min(end + 4, bytes.length); padded++) {
      try {
        return gunzipWhole(bytes.subarray(0, padded), name, maxBytes);
      } catch {
        // The error of the whole file is the more useful one.
      }
    }
    throw error;
  }
}

function gunzipWhole(bytes: Uint8Array, name: string, maxBytes: number): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // The last member's size is in the file's last 4 bytes.
  const announced = bytes.length > TRAILER_BYTES ? view.getUint32(bytes.length - 4, true) : 0;
  let out = new Uint8Array(Math.min(announced, MOST_SHRINK * bytes.length, maxBytes) + 1);
  let length = 0;
  let memberStart = 0;
  let crc = -1;

  const endMember = (end: number): void => {
    const intact =
      view.getUint32(end - TRAILER_BYTES, true) === ~crc >>> 0 &&
      view.getUint32(end - 4, true) === (length - memberStart) >>> 0;
    if (!intact) throw new ScanError(`${name}: the gzip stream is damaged or ends early (its checksum differs); get the file again`);
    memberStart = length;
    crc = -1;
  };
  const stream = new Gunzip((chunk) => {
    if (length + chunk.length > maxBytes) {
      throw new ScanError(`${name}: unpacks to more than ${maxBytes} bytes; expected one brain scan`);
    }
    if (length + chunk.length > out.length) {
      const grown = new Uint8Array(Math.min(Math.max(2 * out.length, length + chunk.length), maxBytes));
      grown.set(out.subarray(0, length));
      out = grown;
    }
    out.set(chunk, length);
    length += chunk.length;
    crc = updateCrc32(crc, chunk);
  });
  stream.onmember = endMember;
  try {
    for (let start = 0; start < bytes.length; start += PUSH_BYTES) {
      stream.push(bytes.subarray(start, start + PUSH_BYTES), start + PUSH_BYTES >= bytes.length);
    }
  } catch (error) {
    if (error instanceof ScanError) throw error;
    const what = error instanceof Error ? error.message : String(error);
    throw new ScanError(
      what === 'unexpected EOF'
        ? `${name}: the gzip stream ends early (truncated download or copy); get the file again`
        : `${name}: the gzip stream is damaged (${what}); get the file again`,
    );
  }
  if (bytes.length < TRAILER_BYTES) throw new ScanError(`${name}: the gzip stream ends early (truncated download or copy); get the file again`);
  endMember(bytes.length);
  return out.subarray(0, length);
}

/**
 * The content of a file, unpacked by the browser where it is one gzip member. Other files, damaged ones, and those that unpack to
 * more than `maxBytes` are given as they are: `gunzip` reads the first, and has the messages for the others.
 */
export async function readUnpacked(file: Blob, maxBytes: number): Promise<Uint8Array> {
  const bytes = async (): Promise<Uint8Array> => new Uint8Array(await file.arrayBuffer());
  if (typeof DecompressionStream === 'undefined' || !isGzip(new Uint8Array(await file.slice(0, 2).arrayBuffer()))) return bytes();
  const trailer = new DataView(await file.slice(-TRAILER_BYTES).arrayBuffer());
  const announced = trailer.byteLength === TRAILER_BYTES ? trailer.getUint32(4, true) : 0;
  if (announced > Math.min(MOST_SHRINK * file.size, maxBytes)) return bytes();
  const out = new Uint8Array(announced);
  let length = 0;
  try {
    const reader = file.stream().pipeThrough(new DecompressionStream('gzip')).getReader();
    for (let { done, value } = await reader.read(); !done; { done, value } = await reader.read()) {
      out.set(value!, length);
      length += value!.length;
    }
  } catch {
    return bytes();
  }
  return length === announced && !isGzip(out) ? out : bytes();
}

/** Gzip one buffer, without a time stamp: the same labels give the same bytes. */
export function gzip(bytes: Uint8Array): Uint8Array {
  return gzipSync(bytes, { level: 4, mtime: 0 });
}

let crcTable: Uint32Array | null = null;

/** CRC-32 of RFC 1952, without the final inversion. */
export function updateCrc32(crc: number, bytes: Uint8Array): number {
  crcTable ??= Uint32Array.from({ length: 256 }, (_, index) => {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
    return value;
  });
  const table = crcTable;
  let c = crc;
  for (let i = 0; i < bytes.length; i++) c = table[(c ^ bytes[i]!) & 255]! ^ (c >>> 8);
  return c;
}
