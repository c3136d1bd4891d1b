// Typed access to the elements of index.html, and the texts on them.
import { isTranslated, t } from '../texts/language';
import type { Key, Text as AnyText, ValuesArgument } from '../texts/message';

/** The element with this `data-testid`; a missing one is a mistake in index.html. */
export function byTestId<T extends HTMLElement>(id: string, type: new () => T): T {
  return query(`[data-testid="${id}"]`, type);
}

export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  return query(`#${id}`, type);
}

function query<T extends HTMLElement>(selector: string, type: new () => T): T {
  const found = document.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} ${selector}`);
  return found;
}

/** A new element with text; text is never parsed as HTML. */
export function element<K extends keyof HTMLElementTagNameMap>(tag: K, text = '', className = ''): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

type PlainKey = { [K in Key]: [] extends ValuesArgument<K> ? K : never }[Key];

/** The element with this text of the catalogue, which follows the language. */
export function worded<T extends HTMLElement>(target: T, key: PlainKey): T {
  target.dataset.t = key;
  writeText(target);
  return target;
}

/** Marks the element as English where its text is not translated, so that a screen reader pronounces it so. */
export function inItsLanguage<T extends HTMLElement>(target: T, text: AnyText): T {
  if (isTranslated(text)) target.removeAttribute('lang');
  else target.lang = 'en';
  return target;
}

/** Writes the texts of index.html and those of `worded` in the reader's language. */
export function writeTexts(): void {
  for (const target of document.querySelectorAll<HTMLElement>('[data-t]')) writeText(target);
  for (const target of document.querySelectorAll<HTMLElement>('[data-t-title]')) target.title = t(target.dataset.tTitle as PlainKey);
  for (const target of document.querySelectorAll<HTMLElement>('[data-t-label]')) target.ariaLabel = t(target.dataset.tLabel as PlainKey);
}

/** Elements inside, such as the key of a button, stay. */
function writeText(target: HTMLElement): void {
  const text = t(target.dataset.t as PlainKey);
  const node = Array.from(target.childNodes).find((child) => child instanceof Text);
  if (node === undefined) target.prepend(text);
  else node.data = text;
}
