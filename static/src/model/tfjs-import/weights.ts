// The tensors of a TF.js model: the weights manifest and its binary shards.
import { fromHalf } from '../../engine/half';
import { record, show, TfjsImportError } from './topology';

export interface Weight {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Tensors of the weights manifest: shards of a group are one run of bytes. */
export function readWeights(json: Readonly<Record<string, unknown>>, binaries: ReadonlyMap<string, Uint8Array>, where: string): { weights: Map<string, Weight>; payload: Uint8Array } {
  const groups = Array.isArray(json.weightsManifest) ? (json.weightsManifest as unknown[]).map(record) : [];
  if (groups.length === 0) throw new TfjsImportError(`${where}: has no weightsManifest`);
  const weights = new Map<string, Weight>();
  const payloads: Uint8Array[] = [];
  for (const group of groups) {
    const paths = Array.isArray(group.paths) ? group.paths.map(String) : [];
    const bytes = concatenate(paths.map((path) => {
      const shard = binaries.get(path.split('/').at(-1)!);
      if (shard === undefined) throw new TfjsImportError(`${where}: its weights are in ${path}, which was not given; drop model.json and every .bin together`);
      return shard;
    }));
    payloads.push(bytes);
    let offset = 0;
    for (const entry of (Array.isArray(group.weights) ? (group.weights as unknown[]) : []).map(record)) {
      const name = String(entry.name);
      const stored = record(entry.quantization).dtype ?? entry.dtype;
      const isInteger = entry.dtype === 'int32' && stored === 'int32'; // shapes and paddings of a graph model
      if (!isInteger && (entry.dtype !== 'float32' || (stored !== 'float32' && stored !== 'float16'))) {
        throw new TfjsImportError(`${where}: ${name} is stored as ${show(stored)}; float32 and float16 are supported, convert the model again without quantization to integers`);
      }
      const shape = Array.isArray(entry.shape) ? entry.shape.map(Number) : [];
      const length = shape.reduce((product, n) => product * n, 1) * (stored === 'float16' ? 2 : 4);
      if (!(offset + length <= bytes.byteLength)) throw new TfjsImportError(`${where}: ${name} ends at byte ${offset + length}, but the .bin files hold ${bytes.byteLength}`);
      const { buffer } = bytes.slice(offset, offset + length);
      weights.set(name, { shape, values: isInteger ? Float32Array.from(new Int32Array(buffer)) : stored === 'float32' ? new Float32Array(buffer) : Float32Array.from(new Uint16Array(buffer), fromHalf) });
      offset += length;
    }
    if (offset !== bytes.byteLength) throw new TfjsImportError(`${where}: ${paths.join(', ')} hold ${bytes.byteLength} bytes, model.json describes ${offset}; they belong to another model`);
  }
  return { weights, payload: concatenate(payloads) };
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.byteLength;
  }
  return out;
}
