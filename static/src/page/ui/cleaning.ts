// The visitor's setting of "Remove components below".
import { byId } from './dom';

export interface Cleaning {
  /** Components below this volume are removed; null where none are. */
  readonly smallestMl: number | null;
  /** A sentence where the field holds no volume. */
  readonly problem: string | null;
}

export function readCleaning(): Cleaning {
  if (!byId('clean', HTMLInputElement).checked) return { smallestMl: null, problem: null };
  const field = byId('clean-ml', HTMLInputElement);
  if (field.checkValidity()) return { smallestMl: field.valueAsNumber, problem: null };
  // The field is part of the result, so a wrong entry must not hide the result.
  return { smallestMl: null, problem: 'Nothing was removed: type the smallest component to keep, from 0.001 to 1,000 mL, such as 0.5.' };
}
