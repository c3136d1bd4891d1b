import { expect, it } from 'vitest';
import { savesMemory } from './storage';

const volume = 256 ** 3 * 4;

it('a machine with little memory stores halves, and only where float32 takes much of it', () => {
  expect(savesMemory(1.14 * 16 * volume, 4)).toBe(true);
  expect(savesMemory(1.14 * 5 * volume, 4)).toBe(false);
  expect(savesMemory(1.14 * 5 * volume, 1)).toBe(true);
});

it('a machine with enough memory, or whose browser does not say, stores float32', () => {
  expect(savesMemory(1.14 * 30 * volume, 8)).toBe(false);
  expect(savesMemory(1.14 * 30 * volume, undefined)).toBe(false);
});
