// PNG files with a palette. Browsers encode four bytes per pixel only, which makes grey slices three times as large.
import { zlibSync } from 'fflate';
import { updateCrc32 } from './gzip';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** `pixels`: entries of the palette, row by row; `palette`: RGB of up to 256 entries. PNG specification, 3rd edition. */
export function encodePng(pixels: Uint8Array, width: number, height: number, palette: Uint8Array): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, 3], 8); // 8 bits per pixel, indexed
  const rows = new Uint8Array(height * (1 + width)); // each row begins with its filter, 0 for none
  for (let y = 0; y < height; y++) rows.set(pixels.subarray(y * width, (y + 1) * width), y * (1 + width) + 1);
  const chunks = [chunk('IHDR', header), chunk('PLTE', palette), chunk('IDAT', zlibSync(rows, { level: 9 })), chunk('IEND', new Uint8Array(0))];
  const out = new Uint8Array(SIGNATURE.length + chunks.reduce((sum, { length }) => sum + length, 0));
  out.set(SIGNATURE);
  let at = SIGNATURE.length;
  for (const bytes of chunks) {
    out.set(bytes, at);
    at += bytes.length;
  }
  return out;
}

/** Length, type, content, CRC of type and content. */
function chunk(type: string, content: Uint8Array): Uint8Array {
  const out = new Uint8Array(12 + content.length);
  const view = new DataView(out.buffer);
  view.setUint32(0, content.length);
  out.set(Array.from(type, (letter) => letter.charCodeAt(0)), 4);
  out.set(content, 8);
  view.setUint32(8 + content.length, ~updateCrc32(-1, out.subarray(4, 8 + content.length)));
  return out;
}
