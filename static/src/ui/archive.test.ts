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

  test.each([
    ['no zip', strToU8('no zip at all'), /a\.zip: no zip, or an empty one/],
    ['one that holds nothing', zipOf({}), /a\.zip: no zip, or an empty one/],
    ['one that ends early', zipOf({ 'a.nii': strToU8('a'), 'scan.nii': NOISE }).slice(0, 100_000), /a\.zip: cannot unpack/],
    ['a damaged one', damaged(zipOf({ 'scan.nii': strToU8('1234567890'.repeat(9999)) })), /a\.zip: cannot unpack/],
  ])('is refused: %s', async (_, content, message) => {
    await expect(unzipped(new File([content], 'a.zip'))).rejects.toThrow(message);
  });

  test('that unpacks to more than any study has is refused', async () => {
    await expect(unzipped(new File([zipOf({ 'scan.nii': NOISE })], 'bomb.zip'), 100_000)).rejects.toThrow(/bomb\.zip: cannot unpack \(it unpacks to more than/);
  });
});

/** A deflate block of a type that does not exist. */
function damaged(zip: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const data = 30 + 'scan.nii'.length;
  zip[data] = 0xff;
  return zip;
}
