// Settings that this browser keeps between visits: the last model and the view. No scan, no result and no name of one.
// A kiosk keeps none.
import { t } from './texts/language';
import type { Language } from './texts/language';
import { byId, byTestId } from './ui/dom';

/** The entry of localStorage that holds all of it, as JSON. */
const ENTRY = 'meshnet-settings';

interface Remembered {
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
    showRemembered();
  } catch {
    // Storage is full or forbidden: the next visit starts as the first one.
  }
}

/** Shows the button that forgets, once there is something; the first steps until a scan has been segmented. */
export function showRemembered(): void {
  byId('remembered', HTMLParagraphElement).hidden = Object.keys(remembered()).length === 0;
  byId('first-steps', HTMLOListElement).hidden = remembered().hasSegmented === true;
}

/** Restores the last view, and stores every change of it. */
export function rememberView(): void {
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
  for (const button of buttons) button.addEventListener('click', () => { remember({ view: button.dataset.view! }); });
  slider.addEventListener('change', () => { remember({ opacity: slider.value }); });
  side.addEventListener('change', () => { remember({ radiological: side.checked }); });
}

/** The button "Forget everything". */
export function connectForget(): void {
  byTestId('forget', HTMLButtonElement).addEventListener('click', () => {
    localStorage.removeItem(ENTRY);
    byId('forgotten', HTMLSpanElement).textContent = t('foot.forgotten');
    byId('first-steps', HTMLOListElement).hidden = false;
  });
}
