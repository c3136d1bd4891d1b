// Every language has the same keys and placeholders, the page has no text outside the catalogue, and index.html has the
// English one.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { note } from '../../volume/notes';
import type { NoteCode, NoteNumbers } from '../../volume/notes';
import { firstLanguage } from '../choose-language';
import { formatBytes, formatDuration, formatMl, formatVoxelSize } from '../ui/format';
import { noteText } from '../ui/notes';
import { de } from './de';
import { en } from './en';
import { es } from './es';
import { inEnglish, isTranslated, LANGUAGES, read, t, TextError, useLanguage } from './language';
import type { Language } from './language';
import { say } from './message';
import type { Forms, Key, Texts } from './message';
import { englishLiterals } from './literals';

/** Folder of the page's sources. */
const PAGE = fileURLToPath(new URL('../', import.meta.url));

const CATALOGUES: Readonly<Record<Language, Texts>> = { en, de, es };
const KEYS = Object.keys(en) as Key[];
const OTHERS = (Object.keys(LANGUAGES) as Language[]).filter((code) => code !== 'en');

afterEach(() => useLanguage('en'));

function forms(entry: string | Forms): string[] {
  return typeof entry === 'string' ? [entry] : Object.values(entry);
}

function placeholders(text: string): string[] {
  return [...new Set(Array.from(text.matchAll(/\{(\w+)\}/g), ([, name]) => name!))].sort();
}

describe.each(OTHERS)('%s', (code) => {
  const texts = CATALOGUES[code];

  test('has the keys of English in its order', () => {
    expect(Object.keys(texts)).toEqual(KEYS);
  });

  test('has the placeholders of English in every form', () => {
    for (const key of KEYS) {
      const wanted = placeholders(forms(en[key]).at(-1)!);
      // A form for one may say the number in words.
      for (const form of forms(texts[key])) expect(placeholders(form).concat(form.includes('{n}') ? [] : wanted.filter((name) => name === 'n')).sort(), key).toEqual(wanted);
    }
  });

  test('has a form for each plural category of its numbers below a million', () => {
    const rules = new Intl.PluralRules(code);
    const used = new Set(Array.from({ length: 1000 }, (_, n) => rules.select(n)));
    for (const key of KEYS) {
      const entry = texts[key];
      if (typeof entry !== 'string') expect(Object.keys(entry), key).toEqual(expect.arrayContaining([...used]));
    }
  });

  test('has no text of English left, but names and words that are the same', () => {
    const same = KEYS.filter((key) => JSON.stringify(texts[key]) === JSON.stringify(en[key]) && /[a-z]{3} [a-z]{3}/i.test(forms(en[key]).join(' ')));
    expect(same).toEqual([]);
  });
});

test('a text is put into words in the language of the moment', async () => {
  const text = [say('run.done', { duration: () => formatDuration(1.2) }), say('run.nothing', { labels: 'lesion' })];
  expect(read(text)).toBe('Done in 1.2 s. No lesion found.');
  await useLanguage('de');
  expect(read(text)).toBe('Fertig in 1,2 s. lesion: nichts gefunden.');
  expect(t('open.opened', { n: 1 })).toBe('1 Aufnahme geöffnet.');
  expect(t('open.opened', { n: 1200 })).toBe('1.200 Aufnahmen geöffnet.');
  expect(inEnglish(say('open.opened', { n: 2 }))).toBe('2 scans opened.');
  expect([say('run.idle'), [say('run.idle')], 'the worker stopped'].map(isTranslated)).toEqual([true, true, false]);
});

test('the server knows the same languages', () => {
  const server = readFileSync(`${PAGE}../../../webapp/app.py`, 'utf8');
  expect(/^LANGUAGES = \((.*)\)$/m.exec(server)![1]!.match(/\w+/g)).toEqual(Object.keys(LANGUAGES));
});

test('of two languages asked for, the last one counts', async () => {
  const both = [useLanguage('de'), useLanguage('es')];
  expect(await Promise.all(both)).toEqual([false, true]);
  expect(t('run.cancel')).toBe('Cancelar');
});

test('an error keeps its English sentence for the diagnostics', async () => {
  await useLanguage('es');
  const error = new TextError(say('open.zipEmpty'));
  expect(error.message).toBe('it is empty');
  expect(read(error.text)).toBe('está vacío');
});

test.each([
  ['en', ['43.9 mL', '1,243 mL', '1.2 s', '1.1 GB', '0.9 × 1.25 mm']],
  ['de', ['43,9 mL', '1.243 mL', '1,2 s', '1,1 GB', '0,9 × 1,25 mm']],
  ['es', ['43,9 mL', '1243 mL', '1,2 s', '1,1 GB', '0,9 × 1,25 mm']],
] as const)('numbers have the form of %s', async (code, wanted) => {
  await useLanguage(code);
  expect([formatMl(43.91), formatMl(1243.4), formatDuration(1.23), formatBytes(1.1e9), formatVoxelSize([0.9, 1.25])]).toEqual(wanted);
});

test.each([
  ['?lang=es', 'de', ['fr'], 'es'],
  ['?lang=xx', 'de', ['fr'], 'de'],
  ['', undefined, ['fr-FR', 'de-AT', 'en'], 'de'],
  ['', undefined, ['fr'], 'en'],
])('the address "%s", the choice %s and the browser %s give %s', (search, chosen, tags, wanted) => {
  expect(firstLanguage(search, chosen, tags)).toBe(wanted);
});

/** Arguments for every note. */
const NUMBERS: { readonly [C in NoteCode]: readonly NoteNumbers<C>[] } = {
  'nan-read-as-zero': [[0.25]],
  'fill-values': [[0.012, -32768, -1000.5, 0.5]],
  'units-micron': [[]],
  'units-metre': [[]],
  'no-forms': [[]],
  'forms-disagree': [[true], [false]],
  'sizes-disagree': [[1.5, 2]],
  'sform-unusable': [[]],
  'magic-of-a-pair': [[]],
  'magic-of-a-single-file': [[]],
  'offset-repaired': [[0.5, 352]],
  'form-code-unknown': [['qform', 12]],
  'dim-zero': [[4]],
  'no-space': [[]],
  'label-like': [[]],
  'few-values': [[7]],
  'probability-like': [[]],
  'dicom-warning': [['Missing images? Expected 37 images']],
  'dicom-resampled': [['Eq'], ['Tilt'], ['Tilt_Eq']],
  'outliers-clipped': [[1234, 0.0005, -5.5, 70000, 0, 1200.5]],
  'cube-moved': [[1.25, -2, 0]],
  'cut-off': [[12.5, 256]],
  'grey-scale-narrow': [[31]],
  'looks-inverted': [[]],
  'head-cut': [[[['superior', 0.385], ['left', 1]]]],
  'looks-like-ct': [[0.275, -1000]],
  'not-head-sized': [[427.4]],
  'contrast-unlike': [['T1w', ['T2w', 'FLAIR']]],
  'contrast-looks-unlike': [[1.234, ['T2w']]],
  'nothing-found': [[]],
  'third-of-head': [[900, 0.56, true], [900, 0.56, false]],
  'lesion-outside-brain': [[0.25]],
  'pieces-dropped': [[47.25]],
};
const NOTES = Object.entries(NUMBERS).flatMap(([code, all]) => all.map((numbers) => (note as (code: string, ...numbers: readonly unknown[]) => ReturnType<typeof note>)(code, ...numbers)));

test('a note reads in English as it stands in files', () => {
  for (const one of NOTES) expect(read(noteText(one))).toBe(one.text);
});

test.each(OTHERS)('a note reads in %s with all its numbers', async (code) => {
  await useLanguage(code);
  for (const one of NOTES) {
    const text = read(noteText(one));
    expect(text).not.toBe(one.text);
    const digits = (sentence: string): string[] => (sentence.match(/\d+(?:[.,]\d+)?/g) ?? []).map((digit) => digit.replace(',', '.')).sort();
    expect(digits(text), text).toEqual(digits(one.text));
  }
});

/** English by intent: saved files (report, results.json), what dcm2niix prints, texts for a trouble report (diagnostics, self-test), and
 * what the service worker answers in the place of a lost file. */
const LEFT_OUT = /^(texts|report)\/|^dcm2niix\/output\.ts$|^selftest\.ts$|^ui\/(results-json|diagnostics)\.ts$|^offline\/sw\.ts$|\.test\.ts$|\.d\.ts$/;

test('no text of the page stands outside the catalogue', () => {
  const files = readdirSync(PAGE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts') && !LEFT_OUT.test(file));
  expect(files.length).toBeGreaterThan(50);
  expect(files.flatMap((file) => englishLiterals(readFileSync(PAGE + file, 'utf8')).map((text) => `${file}: ${text}`))).toEqual([]);
});

test('a text outside the catalogue is found', () => {
  expect(englishLiterals("say('run.idle'); button.title = 'Move the crosshair'; x = `Layer ${n}`; y = flag ? 'Done' : `no ${x} found`;")).toEqual(['Move the crosshair', 'Layer ', 'Done', 'no  found']);
  expect(englishLiterals("import x from './Some where'; byId('edit-size', HTMLInputElement); event.key === 'ArrowDown';")).toEqual([]);
});

const HTML = readFileSync(`${PAGE}../../index.html`, 'utf8');
/** Texts of index.html that are the same in every language. */
const NAMES = ['MeshNet', 'Enter', 'STL', 'OBJ', 'GLB', 'MZ3', '2-D + 3-D', '2-D', '3-D', ...Object.values(LANGUAGES)];

test('index.html has the English text of each key that it names', () => {
  const named = [
    ...Array.from(HTML.matchAll(/data-t="([^"]+)"[^>]*>([^<]*)</g), ([, key, text]) => [key, text]),
    ...Array.from(HTML.matchAll(/(?:title|aria-label)="([^"]*)" data-t-(?:title|label)="([^"]+)"/g), ([, text, key]) => [key, text]),
  ];
  expect(named.length).toBeGreaterThan(120);
  for (const [key, text] of named) expect(text, key).toBe(en[key as Key]);
});

test('index.html has no text and no attribute without a key', () => {
  const body = HTML.slice(HTML.indexOf('<body>')).replace(/<noscript>.*?<\/noscript>/s, '').replace(/<svg.*?<\/svg>/s, '');
  const texts = Array.from(body.matchAll(/<(\w+)([^>]*)>([^<]*[A-Za-z][^<]*)</g)).filter(([, , attributes]) => !attributes!.includes('data-t=')).map(([, , , text]) => text!.trim());
  const after = Array.from(body.matchAll(/<\/\w+>([^<]*[A-Za-z][^<]*)</g), ([, text]) => text!.trim());
  const attributes = Array.from(body.matchAll(/ (?:title|aria-label|placeholder|alt)="[^"]*"(?! data-t-)/g), ([text]) => text);
  expect([...texts, ...after].filter((text) => !NAMES.includes(text) && text !== '&nbsp;' && text !== 'mL')).toEqual([]);
  expect(attributes).toEqual([]);
});
