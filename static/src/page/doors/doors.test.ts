import { describe, expect, test, vi } from 'vitest';
import { Embedded } from './embedded';
import { readLink } from './link';
import { idOf, parseMessage } from './messages';
import type { ToParent } from './messages';
import { INITIAL_STATE } from '../state';
import type { Session } from '../session';

const PAGE = 'https://meshnet.example/site/';

test('a link names scans, relative ones below the page, a model, and whether to run', () => {
  const { scans, model, run } = readLink(`${PAGE}?scan=scans/a%20b.nii.gz&scan=https://lab.example/c.nrrd&model=t2-lesion&run=1`);
  expect(scans.map(({ href }) => href)).toEqual([`${PAGE}scans/a%20b.nii.gz`, 'https://lab.example/c.nrrd']);
  expect({ model, run }).toEqual({ model: 't2-lesion', run: true });
  expect(readLink(PAGE)).toEqual({ scans: [], model: null, run: false });
});

test.each([
  ['?run=2', '?run=2: expected 1'],
  ['?run=1', '?run=1: the link names no scan'],
  ['?scan=', '?scan=: expected an address'],
  ['?scan=file:///etc/passwd', '?scan=file:///etc/passwd: expected an address'],
  ['?scan=data:,x', '?scan=data:,x: expected an address'],
])('%s is refused', (query, sentence) => {
  expect(() => readLink(PAGE + query)).toThrow(sentence);
});

describe('messages', () => {
  const bytes = new ArrayBuffer(4);

  test('of this API are read, others are left alone', () => {
    const segment = { type: 'meshnet:segment', id: 'a', scan: { name: 'x.nii', bytes }, model: 'm', frame: 2 };
    expect(parseMessage({ ...segment, more: 1 })).toEqual(segment);
    expect(parseMessage({ type: 'meshnet:segment', id: 0, scan: { url: 'x.nii' } })).toEqual({ type: 'meshnet:segment', id: 0, scan: { url: 'x.nii' } });
    expect(parseMessage({ type: 'meshnet:cancel', id: 7 })).toEqual({ type: 'meshnet:cancel', id: 7 });
    for (const other of [null, 'meshnet:hello', 3, {}, { type: 'webpackOk' }]) expect(parseMessage(other)).toBeNull();
  });

  test.each([
    [{ type: 'meshnet:segment', scan: { url: 'x' } }, 'id is undefined, expected a text or a number'],
    [{ type: 'meshnet:segment', id: 1, scan: { name: 'x' } }, 'scan is not understood, expected { name, bytes }'],
    [{ type: 'meshnet:segment', id: 1, scan: { url: 'x' }, frame: -1 }, 'frame is -1, expected a whole number from 0'],
    [{ type: 'meshnet:segment', id: 1, scan: { url: 'x' }, model: 3 }, "model is 3, expected a model's id"],
    [{ type: 'meshnet:open', id: 1 }, 'type is meshnet:open, expected meshnet:hello'],
  ])('%j is refused by its field', (message, sentence) => {
    expect(() => parseMessage(message)).toThrow(sentence);
    expect(idOf(message)).toBe('id' in message ? 1 : null);
  });
});

describe('the page in a frame', () => {
  function embedded(origins: readonly string[]): { frame: Embedded; parent: Window; sent: (readonly [ToParent, string])[] } {
    const sent: (readonly [ToParent, string])[] = [];
    const parent = { postMessage: (message: ToParent, origin: string) => sent.push([message, origin]) } as unknown as Window;
    const session = { state: { ...INITIAL_STATE, version: '1', activity: { kind: 'loading', text: 'Opening' } } } as unknown as Session;
    return { frame: new Embedded(session, parent, Promise.resolve(origins)), parent, sent };
  }

  test('answers its parent at an allowed origin, and nobody else', async () => {
    vi.stubGlobal('location', { origin: 'https://meshnet.example' });
    const { frame, parent, sent } = embedded(['https://ward.example', 'self']);
    const hello = { type: 'meshnet:hello' };
    await frame.receive({ data: hello, origin: 'https://evil.example', source: parent });
    await frame.receive({ data: hello, origin: 'https://ward.example', source: {} as Window });
    await frame.receive({ data: { type: 'other' }, origin: 'https://ward.example', source: parent });
    expect(sent).toEqual([]);
    await frame.receive({ data: hello, origin: 'https://ward.example', source: parent });
    await frame.receive({ data: hello, origin: 'https://meshnet.example', source: parent });
    expect(sent.map(([message, origin]) => [message.type, origin])).toEqual([
      ['meshnet:ready', 'https://ward.example'],
      ['meshnet:ready', 'https://meshnet.example'],
    ]);
    vi.unstubAllGlobals();
  });

  test('says that it is busy, and which field is wrong', async () => {
    vi.stubGlobal('location', { origin: 'https://meshnet.example' });
    const { frame, parent, sent } = embedded(['https://ward.example']);
    const from = { origin: 'https://ward.example', source: parent };
    await frame.receive({ data: { type: 'meshnet:segment', id: 5, scan: { url: 'x.nii' } }, ...from });
    await frame.receive({ data: { type: 'meshnet:segment', id: 6 }, ...from });
    expect(sent.map(([message]) => message)).toMatchObject([
      { type: 'meshnet:error', id: 5, reason: 'busy' },
      { type: 'meshnet:error', id: 6, reason: 'invalid' },
    ]);
    vi.unstubAllGlobals();
  });
});
