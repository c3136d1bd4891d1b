import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { CallError } from '../worker/client';
import { EditClient } from '../worker/edit-client';
import type { EngineClient } from '../worker/engine-client';
import type { ModelSpec } from '../generated/model-spec';
import type { OutcomeRequest, ScanSource } from '../worker/protocol';
import { clean, showResult } from './actions/look';
import { findBackend, segment } from './actions/segment';
import { pickModel, useCatalogue } from './actions/models';
import { answerFrame, open } from './actions/open';
import { Session } from './session';
import { backendLine, canRun, isEmpty, warnings } from './state';
import type { PageState } from './state';
import { notesOf, shownResult, shownStudy } from './studies';
import type { Result, Study } from './studies';
import type { UsableModel } from './ui/catalogue';
import { read } from './texts/language';

const CHOICE = { backend: 'cpu', device: '2 threads', details: {}, whyNot: [] } as const;
const REPORT = { ...CHOICE, milliseconds: 1200, timings: [], peakBytes: 1, largestBufferBytes: 1, notes: [] };
const SPEC = { id: 'small', name: 'Small', labels: [{ index: 0, name: 'background' }, { index: 1, name: 'lesion' }] } as unknown as ModelSpec;
const OUTCOME = { volumes: [], centres: [null, null], parts: { count: 0, largest: [] }, removedMl: 0, notes: [{ code: 'nothing-found', text: 'no voxel was labelled' }] };
const LABELS = { classes: 2 };
const SCAN = new File(['x'], 'Jane_T1w.nii.gz');

/** Replies of the worker by call; the test may replace one, an Error rejects. */
let replies: Record<string, (request: { scan?: ScanSource; smallestMl?: number | null }) => unknown>;
let asked: [string, unknown][];
let states: PageState[];
let session: Session;

const factsOf = ({ files, frame }: ScanSource): object => ({
  summary: { name: files[0]!.name, frame, dims: [1, 1, 1], voxelSizeMm: [1, 1, 1], dtype: 'uint8', description: '', notes: [{ code: 'no-forms', text: 'left and right are a guess' }] },
  grid: {},
});
const study = (): Study => shownStudy(session.state)!;
const result = (): Result | null => shownResult(study());

const model = (id: string, isDefault: boolean): UsableModel => ({
  id, name: id, task: 'segmentation', description: '', modality: ['T2w'], parameters: 1, license: 'MIT', bytes: 1, url: `models/${id}/`,
  files: ['model.json', 'weights.safetensors'], card: null, picture: null, labels: [], default: isDefault, broken: null,
});

beforeEach(() => {
  vi.stubGlobal('document', { baseURI: 'https://example.org/' });
  replies = {
    probe: () => CHOICE,
    load: ({ scan }) => ({ facts: factsOf(scan!), display: {} }),
    run: ({ scan }) => ({ facts: factsOf(scan!), spec: SPEC, report: REPORT, labels: LABELS }),
    outcome: () => ({ outcome: OUTCOME, overlay: {} }),
  };
  asked = [];
  states = [];
  const call = (name: string, request: object): Promise<unknown> => {
    asked.push([name, request]);
    const reply = replies[name]!(request);
    return reply instanceof Error ? Promise.reject(reply) : Promise.resolve(reply);
  };
  const client = { call, cancel: () => undefined } as unknown as EngineClient;
  session = new Session({ client, options: { forced: null, maxBufferBytes: null }, viewer: Promise.resolve(null), newReader: () => client, tools: new EditClient(() => { throw new Error('not used here'); }) }, (state) => states.push(state));
  useCatalogue(session, { version: '1', kiosk: null, scan_origins: [], embed_origins: [], models: [model('other', false), model('small', true)] }, null);
});

afterEach(() => vi.unstubAllGlobals());

describe('the state', () => {
  test('holds the notes on the scan, and those on the result once there is one, each once', async () => {
    await findBackend(session);
    await open(session, [SCAN]);
    const codes = (): string[] => notesOf(study()).map(({ code }) => code);
    expect(codes()).toEqual(['no-forms']);
    replies.run = ({ scan }) => ({ facts: factsOf(scan!), labels: LABELS, spec: SPEC, report: { ...REPORT, notes: [{ code: 'no-forms', text: 'left and right are a guess' }, { code: 'contrast-unlike', text: 'T1w' }] } });
    await segment(session);
    expect(codes()).toEqual(['no-forms', 'contrast-unlike', 'nothing-found']);
  });

  test('is ready after a scan was opened and done after its run, and says what runs', async () => {
    await findBackend(session);
    expect([isEmpty(session.state), canRun(session.state)]).toEqual([true, false]);
    await open(session, [SCAN]);
    expect(shownActivity(session)).toEqual({ kind: 'ready', text: 'Ready: press Segment.' });
    expect([isEmpty(session.state), canRun(session.state)]).toEqual([false, true]);
    expect(backendLine(session.state)).toEqual({ tense: 'will', choice: CHOICE, seconds: null });

    await segment(session);

    expect(shownActivity(session)).toEqual({ kind: 'done', text: 'Done in 1.2 s. No lesion found.' });
    expect(result()).toMatchObject({ modelKey: 'small', outcome: OUTCOME, smallestMl: null });
    expect(backendLine(session.state)).toEqual({ tense: 'ran', choice: REPORT, seconds: null });
    expect(states.map(({ activity }) => activity.kind)).toContain('running');
    expect(session.state.run).toBeNull();
  });

  test('keeps the scan when a run fails or is cancelled, without a result', async () => {
    await open(session, [SCAN]);
    replies.run = () => new CallError({ name: 'AbortError', message: 'Cancelled.', frames: null });
    await segment(session);
    expect(session.state.activity.kind).toBe('ready');

    replies.run = () => new CallError({ name: 'Error', message: 'Jane_T1w.nii.gz is gone', frames: null });
    await segment(session);
    expect(shownActivity(session)).toEqual({ kind: 'error', text: 'Jane_T1w.nii.gz is gone. The scan opened before is still here.' });
    expect(session.state.messages.lastError).toBe('file is gone');
    expect(study()).toMatchObject({ name: SCAN.name, results: [] });
  });

  test('keeps every result when the scan is segmented again, also where that fails, and shows the one picked', async () => {
    await open(session, [SCAN]);
    await segment(session);
    pickModel(session, 'other');
    await segment(session);
    expect(study().results.map(({ modelKey }) => modelKey)).toEqual(['small', 'other']);
    expect(result()?.modelKey).toBe('other');

    replies.run = () => new CallError({ name: 'AbortError', message: 'Cancelled.', frames: null });
    await segment(session);
    expect(shownActivity(session)).toEqual({ kind: 'done', text: 'Cancelled. The scan is still open, and its earlier results are still here; press Segment to start again.' });
    expect(study().results).toHaveLength(2);

    await showResult(session, study().results[0]!.id);
    expect(result()?.modelKey).toBe('small');
    expect(session.state.drawn.resultId).toBe(result()?.id);
    expect(asked.filter(([name]) => name === 'load')).toHaveLength(1);
  });

  test('holds a question until it is answered', async () => {
    replies.load = () => new CallError({ name: 'FramesError', message: 'pick a frame', frames: 4 });
    await open(session, [SCAN]);
    expect(session.state.question).toEqual({ kind: 'frame', files: [SCAN], frames: 4, studyId: null });

    replies.load = ({ scan }) => ({ facts: factsOf(scan!), display: {} });
    await answerFrame(session, 2);
    expect(session.state.question).toBeNull();
    expect(study().facts?.summary.frame).toBe(2);
    await answerFrame(session, 3);
    expect(study().facts?.summary.frame).toBe(2);
  });

  test('takes up a change of the cleaning that was made while the result was measured', async () => {
    await open(session, [SCAN]);
    replies.outcome = ({ smallestMl }) => {
      if (smallestMl === null) void clean(session, { ...session.state.cleaning, smallestMl: 0.5 });
      return { outcome: OUTCOME, overlay: {} };
    };
    await segment(session);
    expect(asked.filter(([name]) => name === 'outcome').map(([, request]) => (request as OutcomeRequest).smallestMl)).toEqual([null, 0.5]);
    expect(result()?.smallestMl).toBe(0.5);
  });

  test('is not changed by a file that is dropped while something is under way', async () => {
    replies.load = () => new Promise(() => undefined);
    void open(session, [SCAN]);
    await vi.waitFor(() => { expect(session.state.activity.kind).toBe('loading'); });
    await open(session, [new File(['y'], 'other.nii')]);
    expect(read(session.state.messages.remark!)).toMatch(/^other\.nii was not opened, because something is still under way/);
    expect(session.state.activity.kind).toBe('loading');
  });
});

describe('warnings', () => {
  test('name a contrast that the model was not made for, and a result of another model than the one picked', async () => {
    await open(session, [SCAN]);
    await segment(session);
    pickModel(session, 'other');
    expect(warnings(session.state).map(read)).toEqual([
      'This looks like a T1w scan, but other was made for T2w. It will run; do not trust the result without looking at it.',
      'The result below is still that of Small; press Segment to run other.',
    ]);
  });

  test('say that TensorFlow.js needs the network, as long as it has not run', async () => {
    replies.probe = () => ({ ...CHOICE, backend: 'tfjs' });
    await findBackend(session);
    expect(warnings(session.state).map(read)).toEqual(['TensorFlow.js is not kept for use without a network: the first run fetches it from the server.']);
  });
});

function shownActivity({ state: { activity: { kind, text } } }: Session): { kind: string; text: string } {
  return { kind, text: read(text) };
}
