// The panel "Confidence": the probability over the picture, and the threshold on it. A threshold starts at none: the most
// probable label wins everywhere, until the slider is moved.
import { isEdited } from '../edit/history';
import type { Result } from '../studies';
import { formatNumber, t } from '../texts/language';
import type { ConfidenceSettings } from '../types';
import { byId, byTestId } from './dom';

export function readConfidence(): ConfidenceSettings {
  return { mirror: byId('mirror', HTMLInputElement).checked, probability: byId('probability', HTMLInputElement).checked };
}

export function connectThreshold(onMove: (threshold: number) => void): void {
  const slider = byId('threshold', HTMLInputElement);
  slider.addEventListener('input', () => { onMove(slider.valueAsNumber); });
}

/** Hidden where the result has no probabilities. */
export function showConfidence(result: Result | null): void {
  const box = byTestId('confidence', HTMLFieldSetElement);
  const confidence = result?.labels.confidence ?? null;
  box.hidden = confidence === null;
  if (result === null || confidence === null) return;
  const { threshold, spec } = result;
  const name = spec.labels[confidence.chosen]!.name;
  box.querySelector('.chosen')!.textContent = name;
  const slider = byId('threshold', HTMLInputElement);
  if (document.activeElement !== slider || threshold === null) slider.value = String(threshold ?? 0.5);
  const edited = isEdited(result);
  slider.disabled = edited;
  const own = threshold === null ? t('confidence.none') : t('confidence.from', { name, threshold: formatNumber(threshold, { minimumFractionDigits: 2 }) });
  const text = edited ? t('confidence.edited', { threshold: own }) : own;
  byId('threshold-text', HTMLOutputElement).textContent = text;
  slider.setAttribute('aria-valuetext', text);
  byTestId('no-threshold', HTMLButtonElement).disabled = threshold === null || edited;
}
