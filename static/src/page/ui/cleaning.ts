// Reads the fields that set how a result is cleaned.
import { formatNumber } from '../texts/language';
import { say } from '../texts/message';
import type { Cleaning } from '../types';
import { byId } from './dom';

/** Puts the fields as they were for a result. */
export function writeCleaning({ smallestMl, keepOutsideBrain }: Pick<Cleaning, 'smallestMl' | 'keepOutsideBrain'>): void {
  byId('keep-outside-brain', HTMLInputElement).checked = keepOutsideBrain;
  byId('clean', HTMLInputElement).checked = smallestMl !== null;
  if (smallestMl !== null) byId('clean-ml', HTMLInputElement).valueAsNumber = smallestMl;
}

export function readCleaning(): Cleaning {
  const settings = { keepOutsideBrain: byId('keep-outside-brain', HTMLInputElement).checked, allLabels: byId('all-labels', HTMLInputElement).checked };
  if (!byId('clean', HTMLInputElement).checked) return { ...settings, smallestMl: null, problem: null };
  const field = byId('clean-ml', HTMLInputElement);
  if (field.checkValidity()) return { ...settings, smallestMl: field.valueAsNumber, problem: null };
  // The field is part of the result, so a wrong entry must not hide the result.
  return { ...settings, smallestMl: null, problem: say('results.smallestWrong', { from: () => formatNumber(0.001), to: () => formatNumber(1000), such: () => formatNumber(0.5) }) };
}
