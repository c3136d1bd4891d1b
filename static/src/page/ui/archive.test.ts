import { strToU8, Zip, ZipDeflate, zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { unzipped } from './archive';

/** Bytes that don't compress, so that a zip arrives in several pieces. */
const NOISE = new Uint8Array(300_000);
for (let n = 0, state = 1; n < NOISE.length; n++) {
  state = (Math.imul(state, 1664525) + 1013904223) | 0;
  NOISE[n] = state >>> 24;
}

const zipOf = (files: Record<string, Uint8Array>): Uint8Array<ArrayBuffer> => zipSync(files);

const TWO = zipOf({ 'a.nii': NOISE, 'b.nii': NOISE });

describe('a zip', () => {
  test('is the files in it, without their folders and what macOS adds', async () => {
    const zip = zipOf({ 'study/1/a.dcm': NOISE, 'study/2/a.dcm': strToU8('second'), 'study/empty/': new Uint8Array(0), '__MACOSX/study/._a.dcm': strToU8('x') });

    const files = await unzipped(new File([zip], 'study.zip'));

    expect(files.map(({ name }) => name)).toEqual(['a.dcm', 'a.dcm']);
    expect(new Uint8Array(await files[0]!.arrayBuffer())).toEqual(NOISE);
    expect(await files[1]!.text()).toBe('second');
  });

  test('holds stored files as well as compressed ones', async () => {
    const stored = zipSync({ 'scan.nii.gz': NOISE }, { level: 0 });
    const [file] = await unzipped(new File([stored], 'scan.zip'));
    expect(new Uint8Array(await file!.arrayBuffer())).toEqual(NOISE);
  });

  test('may have been written as it was sent, with sizes after the files', async () => {
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    const zip = new Zip((_, piece) => { pieces.push(piece); });
    for (const name of ['1.dcm', '2.dcm']) {
      const entry = new ZipDeflate(name);
      zip.add(entry);
      entry.push(NOISE, true);
    }
    zip.end();

    const files = await unzipped(new File(pieces, 'sent.zip'));

    expect(files.map(({ name, size }) => [name, size])).toEqual([['1.dcm', NOISE.length], ['2.dcm', NOISE.length]]);
  });

  test('may hold bytes that look like a zip', async () => {
    const tricky = NOISE.slice();
    for (const [n, mark] of [[1, 2], [3, 4], [7, 8]].entries()) tricky.set([0x50, 0x4b, ...mark], 1000 * (n + 1));
    const [file] = await unzipped(new File([zipSync({ 'scan.nii': tricky }, { level: 0 })], 'scan.zip'));
    expect(new Uint8Array(await file!.arrayBuffer())).toEqual(tricky);
  });

  test('beside other files is left out, as beside the bundle that meshnet-export writes', async () => {
    const names = async (files: Record<string, Uint8Array>): Promise<string[]> => (await unzipped(new File([zipOf(files)], 'a.zip'))).map(({ name }) => name);
    expect(await names({ 'm/model.json': strToU8('{}'), 'm\\weights.safetensors': NOISE, 'm/m.zip': NOISE })).toEqual(['model.json', 'weights.safetensors']);
    expect(await names({ 'm/m.zip': NOISE })).toEqual(['m.zip']);
  });

  test.each([
    ['no zip', strToU8('no zip at all'), 'File format is not recognized'],
    ['an empty one', zipOf({ 'study/': new Uint8Array(0) }), 'it is empty'],
    ['one that ends within a file', TWO.slice(0, 100_000), 'End of central directory not found'],
    ['one that ends between files', TWO.slice(0, TWO.length / 2), 'End of central directory not found'],
    ['a damaged one', changed(zipOf({ 'scan.nii': NOISE }), 60_000, 0xff), 'Invalid CRC32'],
    ['a damaged one of stored files', changed(zipSync({ 'scan.nii': NOISE }, { level: 0 }), 60_000, 0xff), 'Invalid CRC32'],
    // General purpose flag, of the file's own header and of the list at the end.
    ['one with a password', changed(changed(zipOf({ a: strToU8('a') }), 6, 1), zipOf({ a: strToU8('a') }).length - 22 - 47 + 8, 1), 'it asks for a password'],
  ])('is refused: %s', async (_, content, message) => {
    await expect(unzipped(new File([content], 'a.zip'))).rejects.toThrow(`a.zip: cannot unpack (${message})`);
  });

  test('that unpacks to more than any study has is refused', async () => {
    await expect(unzipped(new File([zipOf({ 'scan.nii': NOISE })], 'bomb.zip'), 100_000)).rejects.toThrow(/bomb\.zip: cannot unpack \(it unpacks to/);
  });
});

/** A zip with one byte changed. */
function changed(zip: Uint8Array<ArrayBuffer>, at: number, by: number): Uint8Array<ArrayBuffer> {
  zip[at]! ^= by;
  return zip;
}
