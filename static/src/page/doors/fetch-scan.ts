// A scan from a web server that the site's settings allow: its own origin, and those of --scan-origin.
import { TextError } from '../texts/language';
import { say } from '../texts/message';
import { formatBytes } from '../ui/format';

/** Larger downloads would not fit into the browser's memory once unpacked. */
export const MOST_BYTES = 2 ** 31;

export interface FetchSettings {
  /** Origins besides the page's own. */
  readonly origins: readonly string[];
  readonly signal?: AbortSignal;
  /** Called with the bytes that have arrived, and how many there are in all; null where the server does not say. */
  readonly onProgress?: (bytes: number, total: number | null) => void;
}

/** Fetches one file. Rejects with a sentence for the visitor: address, what was expected, what came, and what to do. */
export async function fetchScan(address: URL, settings: FetchSettings): Promise<File> {
  checkOrigin(address, settings.origins);
  let response: Response;
  try {
    response = await fetch(address, { signal: settings.signal ?? null });
  } catch (error) {
    if (settings.signal?.aborted === true) throw error;
    throw noAnswer(address);
  }
  if (response.redirected) checkOrigin(new URL(response.url), settings.origins, address);
  if (!response.ok) {
    throw new TextError(say('link.status', { address: address.href, status: [String(response.status), response.statusText].join(' ').trim() }));
  }
  const bytes = await bodyOf(response, address, settings);
  return new File(bytes, nameOf(address));
}

/** `from`: the address that led there by a redirection. */
function checkOrigin({ href, origin }: URL, origins: readonly string[], from: URL | null = null): void {
  const all = [location.origin, ...origins];
  if (all.includes(origin)) return;
  const values = { allowed: all.join(', '), origin };
  throw new TextError(from === null ? say('link.origin', { address: href, ...values }) : say('link.redirected', { address: from.href, end: href, ...values }));
}

function noAnswer({ href, origin }: URL): TextError {
  return new TextError(origin === location.origin ? say('link.noAnswer', { address: href }) : say('link.noAccess', { address: href, page: location.origin }));
}

/** The parts of the body. Rejects before memory is full. */
async function bodyOf(response: Response, address: URL, { onProgress }: FetchSettings): Promise<Uint8Array<ArrayBuffer>[]> {
  const stated = response.headers.get('Content-Length');
  // Of a compressed answer the length is that of the compressed bytes.
  const total = stated === null || response.headers.has('Content-Encoding') ? null : Number(stated);
  const tooLarge = (bytes: number): Error => new TextError(say('link.large', { address: address.href, size: () => formatBytes(bytes), most: () => formatBytes(MOST_BYTES) }));
  if (total !== null && total > MOST_BYTES) {
    void response.body?.cancel().catch(() => undefined); // a connection that broke off meanwhile cannot be cancelled
    throw tooLarge(total);
  }
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body!.getReader();
  for (let bytes = 0; ;) {
    let read: Awaited<ReturnType<typeof reader.read>>;
    try {
      read = await reader.read();
    } catch {
      const arrived = bytes;
      throw new TextError(say('link.brokeOff', { address: address.href, done: () => formatBytes(arrived) }));
    }
    if (read.done) return parts;
    bytes += read.value.length;
    if (bytes > MOST_BYTES) {
      void reader.cancel().catch(() => undefined);
      throw tooLarge(bytes);
    }
    parts.push(read.value);
    onProgress?.(bytes, total);
  }
}

/** The last part of the path. */
function nameOf({ pathname }: URL): string {
  const last = pathname.slice(pathname.lastIndexOf('/') + 1);
  try {
    return decodeURIComponent(last) || 'scan';
  } catch {
    return last || 'scan';
  }
}
