import { expect, test } from 'vitest';
import { commandOf, SHORTCUTS } from './keys';

const pressed = (key: string, held: Partial<Record<'ctrlKey' | 'metaKey' | 'altKey' | 'shiftKey', boolean>> = {}): Parameters<typeof commandOf>[0] =>
  ({ key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false, ...held });

test('no key has two commands', () => {
  const keys = SHORTCUTS.flatMap((shortcut) => shortcut.keys);
  expect(new Set(keys).size).toBe(keys.length);
});

test.each([
  [pressed('p'), 'pen'],
  [pressed('P', { shiftKey: true }), 'pen'],
  [pressed('z'), 'undo'],
  [pressed('z', { ctrlKey: true }), 'undo'],
  [pressed('Z', { metaKey: true, shiftKey: true }), 'redo'],
  [pressed('y', { ctrlKey: true }), 'redo'],
  [pressed('Escape'), 'close'],
  [pressed('p', { ctrlKey: true }), null],
  [pressed('z', { altKey: true }), null],
  [pressed('q'), null],
] as const)('%o means %s', (key, command) => {
  expect(commandOf(key, false)).toBe(command);
});

test('Enter and Space use the tool on the picture, and press the buttons elsewhere', () => {
  expect([commandOf(pressed('Enter'), true), commandOf(pressed(' '), true)]).toEqual(['use', 'use']);
  expect([commandOf(pressed('Enter'), false), commandOf(pressed(' '), false)]).toEqual([null, null]);
});
