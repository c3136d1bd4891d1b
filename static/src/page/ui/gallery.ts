// The list of models as a gallery, once there are more than a list shows well: a picture, what the model finds, and for which
// scans. The cards are radio buttons; the plain list stays in the page for scripts, out of sight and out of the way of keys.
import { read, t } from '../texts/language';
import { byTestId, element } from './dom';
import { scansText } from './models';
import type { ListedModel } from './models';

/** Models of the plain list. */
const MOST_LISTED = 4;
/** Labels that a card names. */
const MOST_NAMED = 3;
/** Colours of the picture of a model that brings none. */
const MOST_COLOURS = 24;

/** Hidden where the plain list is enough. */
export function showGallery(models: readonly ListedModel[], onPick: (key: string) => void): void {
  const box = byTestId('gallery', HTMLDivElement);
  const list = byTestId('model', HTMLSelectElement);
  const isGallery = models.length > MOST_LISTED;
  box.hidden = !isGallery;
  list.classList.toggle('visually-hidden', isGallery);
  list.tabIndex = isGallery ? -1 : 0;
  list.ariaHidden = isGallery ? 'true' : null;
  const focused = document.activeElement instanceof HTMLInputElement && box.contains(document.activeElement) ? document.activeElement.value : null;
  box.replaceChildren(...(isGallery ? models.map((model) => card(model, onPick)) : []));
  if (focused !== null) radios(box).find(({ value }) => value === focused)?.focus();
}

/** Marks the picked model and brings it into view. */
export function showPickedCard(key: string | null): void {
  const box = byTestId('gallery', HTMLDivElement);
  for (const radio of radios(box)) {
    radio.checked = radio.value === key;
    // The panel itself does not scroll.
    if (radio.checked) box.scrollTop = Math.max(0, radio.closest('label')!.offsetTop - box.offsetTop - 40);
  }
}

function card(model: ListedModel, onPick: (key: string) => void): HTMLLabelElement {
  const made = element('label', '', 'card');
  const radio = element('input');
  radio.type = 'radio';
  radio.name = 'model-card';
  radio.value = model.key;
  radio.addEventListener('change', () => { onPick(model.key); });
  made.append(radio, model.picture === null ? colours(model) : picture(model.picture), element('b', read(model.name)), element('span', findsText(model)), element('span', read(scansText(model.modality)), 'soft'));
  return made;
}

/** Names what the model finds, the lesion before the tissue around it; the picture says nothing more to a screen reader. */
function findsText({ finds, around }: ListedModel): string {
  const found = namesOf(finds);
  return around.length > 0 ? t('model.findsWithLayers', { found, layers: namesOf(around) }) : found;
}

function namesOf(labels: ListedModel['finds']): string {
  const names = labels.slice(0, MOST_NAMED).map(({ name }) => name).join(', ');
  return labels.length > MOST_NAMED ? t('model.findsMore', { names, n: labels.length - MOST_NAMED }) : names;
}

function picture(address: string): HTMLImageElement {
  const image = element('img');
  image.src = address;
  image.alt = '';
  image.loading = 'lazy';
  return image;
}

/** In the place of a picture: the colours of the labels. */
function colours({ finds, around }: ListedModel): HTMLDivElement {
  const box = element('div', '', 'colours');
  box.append(...[...finds, ...around].slice(0, MOST_COLOURS).map(({ color }) => {
    const field = element('i');
    field.style.backgroundColor = `rgb(${color.join(', ')})`;
    return field;
  }));
  return box;
}

function radios(box: HTMLElement): HTMLInputElement[] {
  return Array.from(box.querySelectorAll<HTMLInputElement>('input[type=radio]'));
}
