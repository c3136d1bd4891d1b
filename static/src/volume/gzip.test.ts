import { describe, expect, it } from 'vitest';
import { gzip, readUnpacked } from './gzip';

const CONTENT = Uint8Array.from({ length: 40_000 }, (_, n) => (n * n) >> 7);
const LIMIT = 2 ** 20;

async function unpacked(parts: readonly Uint8Array[], limit = LIMIT): Promise<Uint8Array> {
  return readUnpacked(new Blob(parts as Uint8Array<ArrayBuffer>[]), limit);
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

describe('a file read by the browser', () => {
  it('is unpacked where it is one gzip member', async () => {
    expect(await unpacked([gzip(CONTENT)])).toEqual(CONTENT);
  });

  it('is given as it is where it is not gzip', async () => {
    expect(await unpacked([CONTENT])).toEqual(CONTENT);
    expect(await unpacked([])).toEqual(new Uint8Array());
  });

  const damaged = gzip(CONTENT).map((byte, n) => (n === 2000 ? byte ^ 255 : byte));
  it.each<[string, Uint8Array]>([
    ['two members', joined(gzip(CONTENT), gzip(CONTENT))],
    ['zeros behind the member', joined(gzip(CONTENT), new Uint8Array(512))],
    ['a member that is cut short', gzip(CONTENT).subarray(0, 2000)],
    ['a damaged member', damaged],
    ['two bytes', Uint8Array.of(0x1f, 0x8b)],
    ['a file that was compressed twice', gzip(gzip(CONTENT))],
  ])('is left to gunzip: %s', async (_, bytes) => {
    expect(await unpacked([bytes])).toEqual(Uint8Array.from(bytes));
  });

  it('is left to gunzip where it unpacks to more than the limit', async () => {
    expect(await unpacked([gzip(CONTENT)], CONTENT.length - 1)).toEqual(gzip(CONTENT));
  });
});
