// The language of the page. English is part of the page; another language is fetched when it is chosen. A library
// (i18next, FormatJS) would be larger than the texts of the first load, while the browser has plurals and numbers itself.
import { en } from './en';
import { say } from './message';
import type { Forms, Key, Message, Text, Texts, Value, ValuesArgument } from './message';

/** Each language's name in itself. */
export const LANGUAGES = { en: 'English', de: 'Deutsch', es: 'Español' } as const;
export type Language = keyof typeof LANGUAGES;

const LOADERS: Readonly<Record<Language, () => Promise<Texts>>> = {
  en: () => Promise.resolve(en),
  de: async () => (await import('./de')).de,
  es: async () => (await import('./es')).es,
};

let [current, texts]: [Language, Texts] = ['en', en];
/** The language asked for last; its texts may still be on their way. */
let asked: Language = current;

export function language(): Language {
  return current;
}

/** Takes the texts of a language from now on; false where another was asked for meanwhile. Rejects where they cannot be fetched. */
export async function useLanguage(wanted: Language): Promise<boolean> {
  asked = wanted;
  const loaded = await LOADERS[wanted]();
  if (asked !== wanted) return false;
  [texts, current] = [loaded, wanted];
  return true;
}

export function isLanguage(code: unknown): code is Language {
  return typeof code === 'string' && Object.hasOwn(LANGUAGES, code);
}

/** The first language that the page has, of language tags such as "de-AT" in the order of the reader's choice. */
export function firstKnown(tags: readonly (string | null | undefined)[]): Language {
  return tags.map((tag) => tag?.toLowerCase().split('-')[0]).find(isLanguage) ?? 'en';
}

/** A text of the catalogue in the reader's language. */
export function t<K extends Key>(key: K, ...values: ValuesArgument<K>): string {
  return read(say(key, ...values));
}

/** Any text in the reader's language. */
export function read(text: Text): string {
  return worded(text, texts, current);
}

/** Any text in English, for files and diagnostics. */
export function inEnglish(text: Text): string {
  return worded(text, en, 'en');
}

/** Whether the page has this text in the reader's language; other layers' messages are English. */
export function isTranslated(text: Text): boolean {
  if (current === 'en') return true;
  if (typeof text === 'string') return false;
  if (!('key' in text)) return text.every(isTranslated);
  return text.key !== 'text.sentence' || isTranslated(text.values['text'] as Text);
}

/** A number in the reader's form: "43.9", "43,9". */
export function formatNumber(value: number, options: Intl.NumberFormatOptions = {}): string {
  return new Intl.NumberFormat(current, options).format(value);
}

/** An error with a text of the catalogue. Its `message` is English. */
export class TextError extends Error {
  constructor(
    readonly text: Message,
    options?: ErrorOptions,
  ) {
    super(inEnglish(text), options);
  }
}

/** The text of whatever was thrown. */
export function textOf(error: unknown): Text {
  if (error instanceof TextError) return error.text;
  return error instanceof Error ? error.message : String(error);
}

/** Words as a choice: "T1w or FLAIR". */
export function listOr(words: readonly string[]): string {
  return words.reduce((first, second) => t('model.or', { first, second }));
}

function worded(text: Text, from: Texts, code: Language): string {
  if (typeof text === 'string') return text;
  if (!('key' in text)) return text.map((part) => worded(part, from, code)).filter((part) => part !== '').join(' ');
  const { key, values } = text;
  const form = formOf(from[key], values['n'], code);
  return form.replace(/\{(\w+)\}/g, (_, name: string) => valueText(values[name]!, from, code));
}

function formOf(entry: string | Forms, count: Value | undefined, code: Language): string {
  return typeof entry === 'string' ? entry : (entry[new Intl.PluralRules(code).select(Number(count))] ?? entry.other);
}

function valueText(value: Value, from: Texts, code: Language): string {
  if (typeof value === 'number') return new Intl.NumberFormat(code).format(value);
  return typeof value === 'function' ? value() : worded(value, from, code);
}
