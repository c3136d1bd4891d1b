// Warns before a model runs on a scan of a contrast that it was not made for. Never a refusal.
import { suits } from '../../volume/contrast';
import { listOr } from '../texts/language';
import { say } from '../texts/message';
import type { Message, Text } from '../texts/message';

/** Sentence for the visitor, or null where the contrast is unknown or fits the model. */
export function modalityWarning(guess: string | null, model: Text, wanted: readonly string[]): Message | null {
  if (guess === null || suits(guess, wanted)) return null;
  return say('ask.modality', { guess, model, wanted: () => listOr(wanted) });
}
