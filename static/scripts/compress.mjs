// Writes a brotli and a gzip form beside every text and WASM file of the built site, where they are smaller.
// The server sends them as they are (webapp/files.py); a plain file server ignores them.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const dist = new URL('../dist/', import.meta.url);
const COMPRESSIBLE = /\.(css|html|js|json|mjs|svg|txt|wasm|webmanifest)$/;
const SMALLEST = 1024; // bytes; below that a coding saves less than its header

for (const path of readdirSync(dist, { recursive: true })) {
  if (!COMPRESSIBLE.test(path)) continue;
  const url = new URL(path, dist);
  const body = readFileSync(url);
  if (body.length < SMALLEST) continue;
  const brotli = brotliCompressSync(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 10 } });
  const gzip = gzipSync(body, { level: 9 });
  if (brotli.length < body.length) writeFileSync(new URL(`${path}.br`, dist), brotli);
  if (gzip.length < body.length) writeFileSync(new URL(`${path}.gz`, dist), gzip);
}
