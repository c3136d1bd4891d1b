// The visitor's settings of a result: what is removed from its labels, and what is saved of them.
import { byId } from './dom';

export interface Cleaning {
  /** Components below this volume are removed; null where none are. */
  readonly smallestMl: number | null;
  /** Lesions outside the brain stay, of a model that labels lesion and tissue. */
  readonly keepOutsideBrain: boolean;
  /** The tissue around the lesion is saved too. */
  readonly allLabels: boolean;
  /** A sentence where the field holds no volume. */
  readonly problem: string | null;
}

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
  return { ...settings, smallestMl: null, problem: 'Nothing was removed: type the smallest component to keep, from 0.001 to 1,000 mL, such as 0.5.' };
}
