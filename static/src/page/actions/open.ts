// Opening scans and models, and answering the questions that this may raise.
import { CallError } from '../../worker/client';
import type { TfjsAnswers } from '../../model/tfjs-import/import';
import type { ModelSource } from '../../model/source';
import type { Calls } from '../../worker/protocol';
import { messageOf } from '../../engine/message';
import type { Session } from '../session';
import { isBusy, pickedModel, restingKind } from '../state';
import type { Question } from '../state';
import { leftOutText } from '../ui/choices';
import type { Choice, Offer } from '../ui/choices';
import { unzipped } from '../ui/archive';
import { seriesOf } from '../ui/dicom';
import { sortByContent, zipName } from '../ui/files';
import type { Dropped } from '../ui/files';
import { withDropped } from '../ui/models';
import { fetchSample } from '../ui/sample';
import { updateOutcome } from './segment';

/** A scan or a model, by drop or by picker; `folder` is the name of a dropped folder. */
export async function open(session: Session, files: readonly File[], folder: string | null = null): Promise<void> {
  const { activity } = session.state;
  if (isBusy(session.state)) {
    const cancel = activity.kind === 'running' ? ', or press Cancel first' : '';
    session.say({ remark: `${files[0]!.name} was not opened, because something is still under way; drop it again when that is done${cancel}.` });
    return;
  }
  session.say({ remark: null });
  session.change({ question: null });
  await openSorted(session, await unpacked(session, files), folder ?? zipName(files));
  // A change of the cleaning has waited while the files were read.
  await updateOutcome(session);
}

export async function openSample(session: Session): Promise<void> {
  if (isBusy(session.state)) return;
  session.enter('loading', 'Opening the sample…', { question: null });
  try {
    await loadScan(session, [await fetchSample(pickedModel(session.state)?.modality ?? [])], null);
  } catch (error) {
    session.fail(error);
  }
}

export async function answerFrame(session: Session, frame: number): Promise<void> {
  await answer(session, 'frame', ({ files }) => loadScan(session, files, frame));
}

export async function answerSeries(session: Session, choice: Choice): Promise<void> {
  await answer(session, 'series', () => loadChoice(session, choice, []));
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
  if (isBusy(session.state)) session.say({ remark: 'Something is still under way; open the file again when that is done.' });
  else await act(question as Extract<Question, { kind: K }>);
}

/** The dropped files sorted by kind, or those in the zip that was dropped. */
async function unpacked(session: Session, files: readonly File[]): Promise<Dropped> {
  session.keepPrivate(files);
  try {
    const dropped = await sortByContent(files);
    if (dropped.kind !== 'zip') return dropped;
    session.enter('loading', `Unpacking ${dropped.file.name}…`);
    const inside = await unzipped(dropped.file);
    session.keepPrivate(inside);
    return await sortByContent(inside);
  } catch (error) {
    return { kind: 'refused', reason: messageOf(error) };
  }
}

/** `from` is the folder or zip that held the files. */
async function openSorted(session: Session, dropped: Dropped, from: string | null): Promise<void> {
  if (dropped.kind === 'zip') session.fail(new Error(`${dropped.file.name} is inside another zip; unpack the outer zip first.`));
  else if (dropped.kind === 'refused') session.fail(new Error(dropped.reason));
  else if (dropped.kind === 'model' && session.state.kiosk !== null) session.fail(new Error('This page has a fixed list of models; drop a scan, and choose the model from the list.'));
  else if (dropped.kind === 'model') await addModel(session, dropped.source);
  else if (dropped.kind === 'unknown') await openUnknown(session, dropped.files, from);
  else await openOffer(session, dropped.offer);
}

/** Files whose names do not say what they are: DICOM, or a scan without its extension. */
async function openUnknown(session: Session, files: readonly File[], from: string | null): Promise<void> {
  session.enter('loading', 'Opening…');
  try {
    const choices = await seriesOf(files, from, (count) => { session.enter('loading', `Converting ${count} DICOM files…`); });
    session.keepPrivate(choices.flatMap((choice) => choice.files));
    await openOffer(session, { choices, leftOut: [] });
  } catch (error) {
    session.fail(error);
  }
}

/** The scan, or the question which of several. */
async function openOffer(session: Session, offer: Offer): Promise<void> {
  if (offer.choices.length === 1) await loadChoice(session, offer.choices[0]!, offer.leftOut);
  else session.enter(restingKind(session.state), 'Choose one of the images.', { question: { kind: 'series', offer } });
}

/** Loads the scan, and says what is to say of it and of masks beside it. */
async function loadChoice(session: Session, { files, hint }: Choice, leftOut: readonly string[]): Promise<void> {
  await loadScan(session, files, null);
  const sentences = [hint === null ? '' : `${files[0]!.name}: ${hint}.`, leftOut.length === 0 ? '' : leftOutText(leftOut)];
  const remark = sentences.filter((sentence) => sentence !== '').join(' ');
  if (remark !== '') session.say({ remark });
}

async function addModel(session: Session, source: ModelSource): Promise<void> {
  session.enter('loading', 'Reading the model…');
  try {
    const { spec, notes } = await session.services.client.call('model', { source });
    const kind = restingKind(session.state);
    if (spec !== null) session.enter(kind, `The model ${spec.name} can be used now.`, withDropped(session.state, spec, source, notes));
    else if (source.kind === 'tfjs') session.enter(kind, 'The model needs two answers before it can be used.', { question: { kind: 'input', source } });
  } catch (error) {
    session.fail(error);
  }
}

async function loadScan(session: Session, files: readonly File[], frame: number | null): Promise<void> {
  session.enter('loading', `Opening ${files[0]!.name}…`);
  let loaded: Calls['load']['reply'];
  try {
    loaded = await session.services.client.call('load', { files, frame });
  } catch (error) {
    session.fail(error);
    if (error instanceof CallError && error.frames !== null) session.change({ question: { kind: 'frame', files, frames: error.frames } });
    return;
  }
  session.change({ study: { scan: loaded.summary, result: null } });
  session.say({ lastError: null });
  await session.draw((viewer) => viewer.showScan(loaded.display));
  session.enter('ready', 'Ready: press Segment.');
}
