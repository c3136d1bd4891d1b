import { describe, expect, test } from 'vitest';
import { pack, unpack } from './pack';

async function bytesOf(value: unknown): Promise<Uint8Array> {
  return new Uint8Array(await pack(value).arrayBuffer());
}

describe('packed data', () => {
  test('comes back with its typed arrays, odd lengths and views included', async () => {
    const whole = Uint8Array.of(9, 1, 2, 3, 9);
    const value = { name: 'ä.nii', labels: whole.subarray(1, 4), parts: [{ starts: Uint32Array.of(7, 4e9) }, Float64Array.of(0.1, NaN)], none: null, empty: new Uint8Array(0) };
    expect(unpack(await bytesOf(value))).toEqual(value);
  });

  test('comes back with the numbers that JSON has no words for', async () => {
    const [nan, infinity, zero] = unpack(await bytesOf([NaN, -Infinity, -0])) as number[];
    expect(nan).toBeNaN();
    expect(infinity).toBe(-Infinity);
    expect(Object.is(zero, -0)).toBe(true);
  });

  test('that was cut short, or is something else, is refused', async () => {
    const bytes = await bytesOf({ labels: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9) });
    expect(() => unpack(bytes.subarray(0, bytes.length - 8))).toThrow('ends early');
    expect(() => unpack(bytes.subarray(0, 20))).toThrow('ends early');
    expect(() => unpack(new TextEncoder().encode('something else altogether'))).toThrow('expected data that this page kept');
  });
});
