// A scan from a web server that the site's settings allow: its own origin, and those of --scan-origin.
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
    throw new Error(noAnswer(address));
  }
  if (response.redirected) checkOrigin(new URL(response.url), settings.origins, ` (${address.href} leads there)`);
  if (!response.ok) {
    throw new Error(`${address.href}: the server answered ${response.status}${response.statusText === '' ? '' : ` (${response.statusText})`}, expected a scan; check the address after ?scan=`);
  }
  const bytes = await bodyOf(response, address, settings);
  return new File(bytes, nameOf(address));
}

function checkOrigin({ href, origin }: URL, origins: readonly string[], how = ''): void {
  const allowed = [location.origin, ...origins];
  if (allowed.includes(origin)) return;
  throw new Error(`${href}${how}: this page may fetch scans from ${allowed.join(', ')}, got ${origin}; ask the site's operator for --scan-origin ${origin}, or download the scan and drop it here`);
}

function noAnswer({ href, origin }: URL): string {
  if (origin === location.origin) return `${href}: the server does not answer; check the connection, or download the scan and drop it here`;
  return `${href}: no answer. The server is away, or does not let this page read its files: it has to send Access-Control-Allow-Origin: ${location.origin}. Ask its operator, or download the scan and drop it here`;
}

/** The parts of the body. Rejects before memory is full. */
async function bodyOf(response: Response, address: URL, { onProgress }: FetchSettings): Promise<Uint8Array<ArrayBuffer>[]> {
  const stated = response.headers.get('Content-Length');
  // Of a compressed answer the length is that of the compressed bytes.
  const total = stated === null || response.headers.has('Content-Encoding') ? null : Number(stated);
  const tooLarge = (bytes: number): Error => new Error(`${address.href}: has ${formatBytes(bytes)} or more, expected at most ${formatBytes(MOST_BYTES)}; download it, crop or compress it, and drop it here`);
  if (total !== null && total > MOST_BYTES) {
    await response.body?.cancel();
    throw tooLarge(total);
  }
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const reader = response.body!.getReader();
  for (let bytes = 0; ;) {
    let read: Awaited<ReturnType<typeof reader.read>>;
    try {
      read = await reader.read();
    } catch {
      throw new Error(`${address.href}: the download broke off after ${formatBytes(bytes)}; try again`);
    }
    if (read.done) return parts;
    bytes += read.value.length;
    if (bytes > MOST_BYTES) {
      await reader.cancel();
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
