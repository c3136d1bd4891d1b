// The list of files that make up one version of the site, as the server writes it in front of sw.js
// (webapp/offline.py), and the names and headers derived from it. Pure: no caches, no network.

import type { Message } from '../texts/message';

export interface PrecachedFile {
  /** Relative to the folder that sw.js lies in. */
  readonly path: string;
  /** SHA-256 of the file's bytes, hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
  readonly type: string;
}

export interface Precache {
  /** Changes with every byte of every file. */
  readonly version: string;
  /** Set on every answer: COOP and COEP make the page cross-origin isolated even where the web server can't. */
  readonly headers: Readonly<Record<string, string>>;
  readonly files: readonly PrecachedFile[];
  /** Paths of the site's other files, which always come from the server. */
  readonly notKept: readonly string[];
}

/** Header that a kept answer carries, so that an unchanged file is copied, not downloaded, by the next version. */
export const HASH_HEADER = 'X-Content-SHA256';

const PREFIX = 'meshnet';

/** Name of the cache of one version. The scope is in it: other copies of the site may share the origin. */
export function cacheName(scope: string, version: string): string {
  return `${PREFIX} ${scope} ${version}`;
}

/** Whether a cache belongs to this copy of the site, whatever its version. */
export function isOurs(name: string, scope: string): boolean {
  return name.startsWith(`${PREFIX} ${scope} `);
}

/** Path in the list that a URL asks for: query and fragment dropped, a folder means its page; null outside the scope. */
export function pathOf(url: string, scope: string): string | null {
  const { origin, pathname } = new URL(url);
  const base = new URL(scope);
  if (origin !== base.origin || !pathname.startsWith(base.pathname)) return null;
  const path = decodeURI(pathname.slice(base.pathname.length));
  return path === '' ? 'index.html' : path;
}

/** Headers of a kept answer. */
export function answerHeaders(file: PrecachedFile, precache: Precache): Record<string, string> {
  return { ...precache.headers, 'Content-Type': file.type, 'Content-Length': String(file.bytes), [HASH_HEADER]: file.sha256 };
}

/** Text for the visitor when a version could not be kept; plain data, because a service worker cannot import modules. */
export function failureSentence(error: unknown, precache: Precache): Message {
  const megabytes = Math.ceil(precache.files.reduce((sum, file) => sum + file.bytes, 0) / 1e6);
  if (error instanceof Error && error.name === 'QuotaExceededError') {
    return { key: 'offline.noRoom', values: { megabytes } };
  }
  const reason = error instanceof Error ? error.message : String(error);
  return { key: 'offline.notKept', values: { reason } };
}
