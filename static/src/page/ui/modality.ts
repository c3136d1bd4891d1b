// Warns before a model runs on a scan of a contrast that it was not made for. Never a refusal.
import { suits } from '../../volume/contrast';

/** Sentence for the visitor, or null where the contrast is unknown or fits the model. */
export function modalityWarning(guess: string | null, modelName: string, wanted: readonly string[]): string | null {
  if (guess === null || suits(guess, wanted)) return null;
  return `This looks like a ${guess} scan, but ${modelName} was made for ${wanted.join(' or ')}. It will run; do not trust the result without looking at it.`;
}
