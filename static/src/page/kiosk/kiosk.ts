// Kiosk mode: one visitor after another on the same screen. The catalogue's `kiosk` settings start it.
import { t } from '../texts/language';
import type { Language } from '../texts/language';
import { element, worded } from '../ui/dom';
import { idleState } from './idle';
import { wipePage } from './wipe';

/** `kiosk` of the catalogue (docs/server.md). */
export interface KioskSettings {
  readonly idle_seconds: number;
  readonly saving: 'folder' | 'off';
  /** `off`: one scan at a time. */
  readonly queue: 'on' | 'off';
  /** `off`: no probabilities, threshold or mirror image. */
  readonly confidence: 'on' | 'off';
  /** `off`: no comparison with masks or other results. */
  readonly compare: 'on' | 'off';
  /** `off`: no edits by hand. */
  readonly edit: 'on' | 'off';
  /** `off`: no reports. */
  readonly report: 'on' | 'off';
  /** `off`: no meshes. */
  readonly mesh: 'on' | 'off';
  /** `on`: visitors may keep scans and results in the browser until the page is wiped. */
  readonly keep: 'on' | 'off';
  /** `off`: an address with `?scan=` opens nothing. */
  readonly links: 'on' | 'off';
  /** `off`: no page may embed this one; the server then lists no origins. */
  readonly embed: 'on' | 'off';
  /** Of all visitors; null: each visitor's own. */
  readonly language: Language | null;
}

/** Settings that style.css reads: each hides its part of the page where it is off. */
const SWITCHES = ['queue', 'confidence', 'compare', 'edit', 'report', 'mesh', 'keep'] as const;

/** Events that count as input. */
const INPUTS = ['pointerdown', 'pointermove', 'keydown', 'wheel', 'touchstart', 'dragover'] as const;

/**
 * Watches for idleness and wipes the page after it; adds the full-screen and start-over buttons to `toolbar`.
 * `isBusy` stops the clock, because a visitor may wait for a long segmentation without any input. `beforeWipe` ends what still writes.
 */
export function startKiosk(settings: KioskSettings, toolbar: HTMLElement, isBusy: () => boolean, beforeWipe: () => Promise<void>): void {
  const wipe = async (): Promise<void> => {
    await beforeWipe();
    await wipePage();
  };
  document.documentElement.dataset['kiosk'] = settings.saving;
  for (const name of SWITCHES) document.documentElement.dataset[name] = settings[name];
  if (settings.language !== null) document.documentElement.dataset['language'] = 'fixed';
  let touched = false;
  let lastInput = performance.now();
  for (const type of INPUTS) {
    addEventListener(
      type,
      () => {
        touched = true;
        lastInput = performance.now();
      },
      { capture: true, passive: true },
    );
  }

  const warning = element('dialog', '', 'kiosk-warning');
  warning.dataset['testid'] = 'kiosk-warning';
  const text = element('p');
  const stay = worded(element('button'), 'kiosk.stay');
  stay.addEventListener('click', () => {
    warning.close();
  });
  warning.append(text, stay);
  document.body.append(warning);

  const check = (): void => {
    if (isBusy()) lastInput = performance.now();
    const state = idleState(performance.now() - lastInput, settings.idle_seconds, touched);
    if (state.kind === 'wipe') {
      clearInterval(timer);
      void wipe();
    } else if (state.kind === 'warning') {
      text.textContent = t('kiosk.warning', { n: state.secondsLeft });
      if (!warning.open) warning.showModal();
    } else if (warning.open) warning.close();
  };
  const timer = setInterval(check, 500);

  toolbar.append(startOverButton(wipe), fullScreenButton());
}

function startOverButton(wipe: () => Promise<void>): HTMLButtonElement {
  const button = worded(element('button'), 'kiosk.startOver');
  button.type = 'button';
  button.dataset['testid'] = 'start-over';
  button.addEventListener('click', () => void wipe());
  return button;
}

/** A browser started without its kiosk flag shows its own bars; the button is the hint, and it works. */
function fullScreenButton(): HTMLButtonElement {
  const button = worded(element('button'), 'kiosk.fullScreen');
  button.type = 'button';
  button.dataset['testid'] = 'full-screen';
  const update = (): void => {
    // A browser with `--kiosk` fills the screen without a request of the page.
    button.hidden = document.fullscreenElement !== null || matchMedia('(display-mode: fullscreen)').matches;
  };
  button.addEventListener('click', () => void document.documentElement.requestFullscreen());
  document.addEventListener('fullscreenchange', update);
  update();
  return button;
}
