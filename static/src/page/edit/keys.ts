// Keyboard shortcuts of the editing tools. They count while the focus is on the picture or among the tools, so that letters typed
// elsewhere stay letters; index.html names the command of each button, and the key is shown on it.
import type { Tool } from './settings';

export type Command = Tool | 'disc' | 'smaller' | 'larger' | 'fill' | 'smooth' | 'undo' | 'redo' | 'close' | 'use';

interface Shortcut {
  readonly command: Command;
  /** As `KeyboardEvent.key` has it, in lower case. */
  readonly keys: readonly string[];
  /** As it stands on the button. */
  readonly shown: string;
}

export const SHORTCUTS: readonly Shortcut[] = [
  { command: 'look', keys: ['v'], shown: 'V' },
  { command: 'pen', keys: ['p'], shown: 'P' },
  { command: 'eraser', keys: ['e'], shown: 'E' },
  { command: 'grow', keys: ['g'], shown: 'G' },
  { command: 'delete', keys: ['d'], shown: 'D' },
  { command: 'keep', keys: ['k'], shown: 'K' },
  { command: 'disc', keys: ['s'], shown: 'S' },
  { command: 'smaller', keys: ['['], shown: '[' },
  { command: 'larger', keys: [']'], shown: ']' },
  { command: 'fill', keys: ['f'], shown: 'F' },
  { command: 'smooth', keys: ['m'], shown: 'M' },
  { command: 'undo', keys: ['z'], shown: 'Z' },
  { command: 'redo', keys: ['y'], shown: 'Y' },
  { command: 'close', keys: ['escape'], shown: 'Esc' },
];

type Pressed = Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'metaKey' | 'altKey' | 'shiftKey'>;

/** The command of a key; null where it has none. `isOnPicture`: Enter and Space use the tool at the crosshair. */
export function commandOf({ key, ctrlKey, metaKey, altKey, shiftKey }: Pressed, isOnPicture: boolean): Command | null {
  const lower = key.toLowerCase();
  if (altKey) return null;
  if (ctrlKey || metaKey) {
    if (lower === 'z') return shiftKey ? 'redo' : 'undo';
    return lower === 'y' ? 'redo' : null;
  }
  if (isOnPicture && (key === 'Enter' || key === ' ')) return 'use';
  return SHORTCUTS.find(({ keys }) => keys.includes(lower))?.command ?? null;
}
