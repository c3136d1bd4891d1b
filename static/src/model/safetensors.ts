// The safetensors container (https://huggingface.co/docs/safetensors): 8-byte little-endian header
// length, JSON header {name: {dtype, shape, data_offsets}}, then the tensors. F32 and F16 only.
import { fromHalf } from '../engine/half';

export interface RawTensor {
  readonly dtype: 'float32' | 'float16';
  readonly shape: readonly number[];
  /** Widened to float32; C order. */
  readonly values: Float32Array;
}

const DTYPE_OF: Readonly<Record<string, RawTensor['dtype']>> = { F32: 'float32', F16: 'float16' };
const MAX_HEADER_BYTES = 10_000_000;

/** Tensors by name. Throws an Error that names the malformed part; every offset is checked before use. */
export function parseSafetensors(bytes: Uint8Array, where: string): Map<string, RawTensor> {
  const header = parseHeader(bytes, where);
  const data = bytes.subarray(header.dataStart);
  const tensors = new Map<string, RawTensor>();
  for (const [name, entry] of Object.entries(header.entries)) {
    if (name === '__metadata__') continue;
    tensors.set(name, parseTensor(name, entry, data, where));
  }
  return tensors;
}

function parseHeader(bytes: Uint8Array, where: string): { entries: Record<string, unknown>; dataStart: number } {
  if (bytes.byteLength < 8) throw new Error(`${where}: ${bytes.byteLength} bytes are too few for a safetensors file`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(Math.min(MAX_HEADER_BYTES, bytes.byteLength - 8))) {
    throw new Error(`${where}: not a safetensors file (its header would be ${length.toString()} bytes long)`);
  }
  const dataStart = 8 + Number(length);
  let entries: unknown;
  try {
    entries = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart)));
  } catch {
    throw new Error(`${where}: not a safetensors file (its header is not JSON)`);
  }
  if (!isRecord(entries)) throw new Error(`${where}: not a safetensors file (its header is not an object)`);
  return { entries, dataStart };
}

function parseTensor(name: string, entry: unknown, data: Uint8Array, where: string): RawTensor {
  if (!isRecord(entry)) throw new Error(`${where}: tensor ${name} has no description`);
  const dtype = typeof entry.dtype === 'string' ? DTYPE_OF[entry.dtype] : undefined;
  if (dtype === undefined) throw new Error(`${where}: ${name} has dtype ${String(entry.dtype)}, expected F32 or F16`);
  const shape = entry.shape;
  const offsets = entry.data_offsets;
  if (!isCounts(shape)) throw new Error(`${where}: ${name} has no valid shape`);
  if (!isCounts(offsets) || offsets.length !== 2) throw new Error(`${where}: ${name} has no valid data_offsets`);
  const [begin, end] = [offsets[0]!, offsets[1]!];
  const count = shape.reduce((product, n) => product * n, 1);
  const width = dtype === 'float32' ? 4 : 2;
  if (end > data.byteLength || end - begin !== count * width) {
    throw new Error(`${where}: ${name} lies at bytes ${begin} to ${end}, which does not fit its shape or the file`);
  }
  const copy = data.slice(begin, end);
  return { dtype, shape, values: dtype === 'float32' ? new Float32Array(copy.buffer) : Float32Array.from(new Uint16Array(copy.buffer), fromHalf) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && Number(n) >= 0);
}
