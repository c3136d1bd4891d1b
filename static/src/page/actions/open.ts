// Opening scans and models, and answering the questions that this may raise.
import { CallError } from '../../worker/client';
import type { TfjsAnswers } from '../../model/tfjs-import/import';
import type { ModelSource } from '../../model/source';
import type { Session } from '../session';
import { enqueue, isActive } from '../queue';
import { allowsQueue, isBusy, pickedModel, restingKind, NOTHING_DRAWN } from '../state';
import type { Question } from '../state';
import { withStudies, withStudy } from '../studies';
import type { NewStudy } from '../studies';
import { allOf, leftOutText } from '../ui/choices';
import type { Choice, Offer } from '../ui/choices';
import { unzipped } from '../ui/archive';
import { seriesOf } from '../ui/dicom';
import { sortByContent, zipName } from '../ui/files';
import type { Dropped } from '../ui/files';
import { withDropped } from '../ui/models';
import { fetchSample } from '../ui/sample';
import { textOf } from '../texts/language';
import { say } from '../texts/message';
import { refresh, restingText } from './look';

/** A scan or a model, by drop or by picker; `folder` is the name of a dropped folder. */
export async function open(session: Session, files: readonly File[], folder: string | null = null): Promise<void> {
  const { activity } = session.state;
  if (isBusy(session.state)) {
    session.say({ remark: say(activity.kind === 'running' ? 'open.busyRun' : 'open.busy', { name: files[0]!.name }) });
    return;
  }
  session.say({ remark: null });
  session.change({ question: null });
  await openFiles(session, files, folder);
}

/** Opens files without asking whether something is under way. */
export async function openFiles(session: Session, files: readonly File[], folder: string | null): Promise<void> {
  await openSorted(session, await unpacked(session, files), folder ?? zipName(files));
  await refresh(session); // another scan or another cleaning may have been picked meanwhile
}

export async function openSample(session: Session): Promise<void> {
  if (isBusy(session.state)) return;
  session.enter('loading', say('open.sample'), { question: null });
  try {
    await loadScan(session, [await fetchSample(pickedModel(session.state)?.modality ?? [])], null);
  } catch (error) {
    session.fail(error);
  }
}

/** Opens a frame of a 4-D file; of a listed one in its place. */
export async function answerFrame(session: Session, frame: number): Promise<void> {
  await answer(session, 'frame', async ({ files, studyId }) => {
    if (studyId === null) {
      await loadScan(session, files, frame);
      return;
    }
    session.change({ studies: withStudy(session.state.studies, studyId, (study) => ({ ...study, source: { ...study.source, frame } })) });
    await refresh(session);
  });
}

/** Lists every frame of a 4-D file as a scan; of a listed one after it. */
export async function answerAllFrames(session: Session): Promise<void> {
  await answer(session, 'frame', async ({ files, frames, studyId }) => {
    if (studyId !== null) session.change({ studies: withStudy(session.state.studies, studyId, (study) => ({ ...study, source: { ...study.source, frame: 0 } })) });
    const added = Array.from({ length: frames }, (_, frame) => ({ files, frame, facts: null })).slice(studyId === null ? 0 : 1);
    list(session, added, added.map(() => session.newId()));
    if (studyId !== null) session.change({ shownId: studyId });
    session.enter(restingKind(session.state), say('open.frames', { n: frames }));
    await refresh(session);
  });
}

/** Opens one of several scans. */
export async function answerSeries(session: Session, choice: Choice): Promise<void> {
  await answer(session, 'series', () => loadChoice(session, choice, null));
}

/** Lists all of several scans. */
export async function answerAll(session: Session): Promise<void> {
  await answer(session, 'series', ({ offer }) => listAll(session, offer));
}

export async function answerInput(session: Session, answers: TfjsAnswers): Promise<void> {
  await answer(session, 'input', ({ source }) => addModel(session, { ...source, answers }));
}

/** Acts on the answer to the question of this kind. */
async function answer<K extends Question['kind']>(session: Session, kind: K, act: (question: Extract<Question, { kind: K }>) => Promise<void>): Promise<void> {
  const { question } = session.state;
  if (question?.kind !== kind) return;
  session.change({ question: null });
  // A question may still stand while a result is updated.
  if (isBusy(session.state)) session.say({ remark: say('open.busyAnswer') });
  else await act(question as Extract<Question, { kind: K }>);
}

/** The dropped files sorted by kind, or those in the zips that were dropped. */
async function unpacked(session: Session, files: readonly File[]): Promise<Dropped> {
  session.keepPrivate(files);
  try {
    const dropped = await sortByContent(files);
    if (dropped.kind !== 'zips') return dropped;
    const inside: File[] = [];
    for (const zip of dropped.files) {
      session.enter('loading', say('open.unpacking', { name: zip.name }));
      inside.push(...(await unzipped(zip)));
    }
    session.keepPrivate(inside);
    return await sortByContent(inside);
  } catch (error) {
    return { kind: 'refused', reason: textOf(error) };
  }
}

/** `from` is the folder or zip that held the files. */
async function openSorted(session: Session, dropped: Dropped, from: string | null): Promise<void> {
  if (dropped.kind === 'zips') session.refuse(say('open.zipInZip', { name: dropped.files[0]!.name }));
  else if (dropped.kind === 'refused') session.refuse(dropped.reason);
  else if (dropped.kind === 'model' && session.state.kiosk !== null) session.refuse(say('open.fixedList'));
  else if (dropped.kind === 'model') await addModel(session, dropped.source);
  else if (dropped.kind === 'unknown') await openUnknown(session, dropped.files, from);
  else await openOffer(session, dropped.offer, !allowsQueue(session.state));
}

/** Files whose names do not say what they are: DICOM, or a scan without its extension. */
async function openUnknown(session: Session, files: readonly File[], from: string | null): Promise<void> {
  session.enter('loading', say('open.opening'));
  try {
    const { choices, faults } = await seriesOf(files, from, (count) => { session.enter('loading', say('open.converting', { n: count })); });
    session.keepPrivate(choices.flatMap((choice) => choice.files));
    // A study holds localisers and series that no model takes.
    await openOffer(session, { choices, masks: [], others: 0, faults }, true);
  } catch (error) {
    session.fail(error);
  }
}

/** The scan, or all of several, or with `ask` the question which. */
async function openOffer(session: Session, offer: Offer, ask: boolean): Promise<void> {
  if (offer.choices.length === 1) await loadChoice(session, offer.choices[0]!, offer);
  else if (ask) session.enter(restingKind(session.state), say('open.choose'), { question: { kind: 'series', offer } });
  else await listAll(session, offer);
}

/** Lists every scan and shows the first of them; the others are read when they are shown or segmented. */
async function listAll(session: Session, offer: Offer): Promise<void> {
  const choices = allOf(offer);
  list(session, choices.map(({ files }) => ({ files, frame: null, facts: null })), choices.map(() => session.newId()));
  session.enter(restingKind(session.state), say('open.opened', { n: choices.length }));
  await refresh(session);
  sayLeftOut(session, null, offer);
}

/** Loads the scan, and reports its notes and the files that were left out. */
async function loadChoice(session: Session, choice: Choice, offer: Offer | null): Promise<void> {
  await loadScan(session, choice.files, null);
  sayLeftOut(session, choice, offer);
}

function sayLeftOut(session: Session, choice: Choice | null, offer: Offer | null): void {
  const hint = choice?.hint == null ? [] : [say('open.hint', { name: choice.files[0]!.name, hint: choice.hint })];
  const remark = [...hint, ...(offer === null ? [] : leftOutText(offer))];
  if (remark.length > 0) session.say({ remark });
}

/** Adds scans to the list and shows the first of them; where no queue is allowed they replace the list. */
function list(session: Session, added: readonly NewStudy[], ids: readonly number[]): void {
  const before = allowsQueue(session.state) ? session.state : { studies: [], shownId: null };
  session.change(withStudies(before, added, ids));
  const { studies, queue } = session.state;
  if (queue !== null && isActive(queue)) session.change(enqueue({ studies, queue }, ids));
}

async function addModel(session: Session, source: ModelSource): Promise<void> {
  session.enter('loading', say('open.readingModel'));
  try {
    const { spec, notes } = await session.idleClient.call('model', { source });
    const kind = restingKind(session.state);
    if (spec !== null) session.enter(kind, say('open.modelReady', { name: spec.name }), withDropped(session.state, spec, source, notes));
    else if (source.kind === 'tfjs') session.enter(kind, say('open.modelAsks'), { question: { kind: 'input', source } });
  } catch (error) {
    session.fail(error);
  }
}

/** Reads the scan, then lists and shows it; one that cannot be read is not listed. */
async function loadScan(session: Session, files: readonly File[], frame: number | null): Promise<void> {
  session.enter('loading', say('open.openingScan', { name: files[0]!.name }));
  const id = session.newId();
  try {
    const { facts, display } = await session.idleClient.call('load', { scan: { id, files, frame } });
    list(session, [{ files, frame, facts }], [id]);
    session.change({ drawn: { ...NOTHING_DRAWN, studyId: id } });
    session.say({ lastError: null });
    await session.draw((viewer) => viewer.showScan(display));
    session.enter('ready', restingText(session.state));
  } catch (error) {
    session.fail(error);
    if (error instanceof CallError && error.frames !== null) session.change({ question: { kind: 'frame', files, frames: error.frames, studyId: null } });
  }
}
