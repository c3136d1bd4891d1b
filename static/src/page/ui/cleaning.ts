// The visitor's settings of a result: what is removed from its labels, and what is saved of them.
import { formatNumber } from '../texts/language';
import { say } from '../texts/message';
import type { Message } from '../texts/message';
import { byId } from './dom';

export interface Cleaning {
  /** Components below this volume are removed; null where none are. */
  readonly smallestMl: number | null;
  /** Lesions outside the brain stay, of a model that labels lesion and tissue. */
  readonly keepOutsideBrain: boolean;
  /** The tissue around the lesion is saved too. */
  readonly allLabels: boolean;
  /** A sentence where the field holds no volume. */
  readonly problem: Message | null;
}

export function readCleaning(): Cleaning {
  const settings = { keepOutsideBrain: byId('keep-outside-brain', HTMLInputElement).checked, allLabels: byId('all-labels', HTMLInputElement).checked };
  if (!byId('clean', HTMLInputElement).checked) return { ...settings, smallestMl: null, problem: null };
  const field = byId('clean-ml', HTMLInputElement);
  if (field.checkValidity()) return { ...settings, smallestMl: field.valueAsNumber, problem: null };
  // The field is part of the result, so a wrong entry must not hide the result.
  return { ...settings, smallestMl: null, problem: say('results.smallestWrong', { from: () => formatNumber(0.001), to: () => formatNumber(1000), such: () => formatNumber(0.5) }) };
}
