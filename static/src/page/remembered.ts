// Settings that this browser keeps between visits: the last model, the view and the language. Scans and results are kept in kept/, if
// at all. A kiosk keeps no settings.
import type { Language } from './texts/language';
import { byId } from './ui/dom';

/** The entry of localStorage that holds all of it, as JSON. */
const ENTRY = 'meshnet-settings';

export interface Remembered {
  /** Key of a model of the site's list. */
  readonly model?: string;
  /** `data-view` of the view's button. */
  readonly view?: string;
  /** 0…100. */
  readonly opacity?: string;
  readonly radiological?: boolean;
  /** Chosen by hand. */
  readonly language?: Language;
  /** Whether a scan has been segmented before. */
  readonly hasSegmented?: boolean;
}

/** Empty where the browser stores nothing for this site, or another kind of entry. */
export function remembered(): Remembered {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(ENTRY) ?? '{}');
    return typeof found === 'object' && found !== null ? found : {};
  } catch {
    return {};
  }
}

export function remember(settings: Remembered): void {
  try {
    localStorage.setItem(ENTRY, JSON.stringify({ ...remembered(), ...settings }));
    showFirstSteps();
  } catch {
    // Storage is full or forbidden: the next visit starts as the first one.
  }
}

export function forgetSettings(): void {
  try {
    localStorage.removeItem(ENTRY);
  } catch {
    // Where storage is forbidden there is nothing.
  }
  showFirstSteps();
}

/** Whether there are settings. */
export function remembersSettings(): boolean {
  return Object.keys(remembered()).length > 0;
}

/** The first steps are there until a scan has been segmented. */
export function showFirstSteps(): void {
  byId('first-steps', HTMLOListElement).hidden = remembered().hasSegmented === true;
}

/** Restores the last view, and hands every change of it to `keep`. */
export function rememberView(keep: (settings: Remembered) => void): void {
  const { view, opacity, radiological } = remembered();
  const buttons = Array.from(document.querySelectorAll<HTMLButtonElement>('button[data-view]'));
  buttons.find((button) => button.dataset.view === view)?.click();
  const slider = byId('opacity', HTMLInputElement);
  if (opacity !== undefined) {
    slider.value = opacity;
    slider.dispatchEvent(new Event('input'));
  }
  const side = byId('radiological', HTMLInputElement);
  if (radiological === true && !side.checked) side.click();
  for (const button of buttons) button.addEventListener('click', () => { keep({ view: button.dataset.view! }); });
  slider.addEventListener('change', () => { keep({ opacity: slider.value }); });
  side.addEventListener('change', () => { keep({ radiological: side.checked }); });
}
