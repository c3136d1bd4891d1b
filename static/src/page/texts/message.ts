// A text of the catalogue with the values of its placeholders, as plain data: it is put into words when it is shown, in the
// language of that moment, and a service worker can send it.
import type { en } from './en';

export type Key = keyof typeof en;

/** A text that depends on a count, by plural category. */
export type Forms = Partial<Record<Intl.LDMLPluralRule, string>> & { readonly one: string; readonly other: string };

/** The texts of a language: the keys of the English ones, each of the same kind. */
export type Texts = { readonly [K in Key]: (typeof en)[K] extends string ? string : Forms };

/** A number is written in the reader's form; a function is asked when the text is shown. */
export type Value = number | Text | (() => string);

/** A string is a text without translation, such as a name or an error of another layer; several texts are sentences. */
export type Text = string | Message | readonly Text[];

export interface Message {
  readonly key: Key;
  readonly values: Readonly<Record<string, Value>>;
}

type Slots<S> = S extends `${string}{${infer Slot}}${infer Rest}` ? Slot | Slots<Rest> : never;
type SlotsOf<K extends Key> = (typeof en)[K] extends infer E ? (E extends string ? Slots<E> : Slots<E[keyof E]>) : never;

/** The values of a text's placeholders; the count `n` is a number. */
export type Values<K extends Key> = { readonly [S in SlotsOf<K>]: S extends 'n' ? number : Value };

/** The argument after the key: nothing where the text has no placeholder. */
export type ValuesArgument<K extends Key> = [SlotsOf<K>] extends [never] ? [] : [values: Values<K>];

/** A text for the state. */
export function say<K extends Key>(key: K, ...[values]: ValuesArgument<K>): Message {
  return { key, values: values ?? {} };
}
