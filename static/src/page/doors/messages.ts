// The messages between this page in a frame and the page around it (docs/embedding.md).
import type { Note } from '../../volume/notes';

/** A scan to open: a file in memory, or an address that ?scan= would take. */
export type SentScan = { readonly name: string; readonly bytes: ArrayBuffer | Blob } | { readonly url: string };

/** Names the request in every message about it. */
export type RequestId = string | number;

export type FromParent =
  | { readonly type: 'meshnet:hello' }
  | { readonly type: 'meshnet:segment'; readonly id: RequestId; readonly scan: SentScan; readonly model?: string; readonly frame?: number }
  | { readonly type: 'meshnet:cancel'; readonly id: RequestId };

export type ToParent =
  | { readonly type: 'meshnet:ready'; readonly version: string; readonly models: readonly { readonly id: string; readonly name: string; readonly modality: readonly string[] }[] }
  /** `fraction`: share of the network's work that is done, 0…1; null where it is not known. */
  | { readonly type: 'meshnet:progress'; readonly id: RequestId; readonly text: string; readonly fraction: number | null }
  | {
      readonly type: 'meshnet:result';
      readonly id: RequestId;
      readonly scan: string;
      readonly model: { readonly id: string; readonly name: string; readonly sha256: string };
      readonly backend: string;
      readonly seconds: number;
      /** Of every class, background included, on the scan's own grid. */
      readonly volumes: readonly { readonly index: number; readonly name: string; readonly voxels: number; readonly volumeMl: number }[];
      readonly notes: readonly Note[];
      /** Name and bytes of the .nii.gz that Save native writes. */
      readonly labelsName: string;
      readonly labels: ArrayBuffer;
    }
  | { readonly type: 'meshnet:error'; readonly id: RequestId | null; readonly reason: 'invalid' | 'busy' | 'refused' | 'failed' | 'cancelled'; readonly message: string };

/** The message, checked; null for anything that is no message of this API. Throws an Error that names the wrong field. */
export function parseMessage(data: unknown): FromParent | null {
  if (typeof data !== 'object' || data === null) return null;
  const message = data as Record<string, unknown>;
  const { type } = message;
  if (typeof type !== 'string' || !type.startsWith('meshnet:')) return null;
  if (type === 'meshnet:hello') return { type };
  if (type !== 'meshnet:segment' && type !== 'meshnet:cancel') throw new Error(`type is ${type}, expected meshnet:hello, meshnet:segment or meshnet:cancel`);
  const { id, scan, model, frame } = message;
  if (!isId(id)) throw new Error(`${type}: id is ${JSON.stringify(id)}, expected a text or a number`);
  if (type === 'meshnet:cancel') return { type, id };
  if (model !== undefined && typeof model !== 'string') throw new Error(`${type}: model is ${JSON.stringify(model)}, expected a model's id`);
  if (frame !== undefined && !(Number.isInteger(frame) && (frame as number) >= 0)) throw new Error(`${type}: frame is ${JSON.stringify(frame)}, expected a whole number from 0`);
  if (!isScan(scan)) throw new Error(`${type}: scan is not understood, expected { name, bytes } with an ArrayBuffer or a Blob, or { url }`);
  return { type, id, scan, ...(model === undefined ? {} : { model }), ...(frame === undefined ? {} : { frame: frame as number }) };
}

/** The request that a message is about, as far as it says. */
export function idOf(data: unknown): RequestId | null {
  const id = typeof data === 'object' && data !== null ? (data as Record<string, unknown>)['id'] : null;
  return isId(id) ? id : null;
}

function isId(value: unknown): value is RequestId {
  return typeof value === 'string' || typeof value === 'number';
}

function isScan(value: unknown): value is SentScan {
  if (typeof value !== 'object' || value === null) return false;
  const { name, bytes, url } = value as Record<string, unknown>;
  return typeof url === 'string' || (typeof name === 'string' && name !== '' && (bytes instanceof ArrayBuffer || bytes instanceof Blob));
}
