// Picking what is shown: a scan of the list, one of its results, the cleaning. The actions change the state, and `refresh`
// brings the picture and the table to it.
import { shownIndices } from '../../volume/label-roles';
import { CallError } from '../../worker/client';
import type { Session } from '../session';
import { isEdited } from '../edit/history';
import { drawsProbability, isBusy, isOutdated, NOTHING_DRAWN, restingKind, withoutEditing } from '../state';
import type { PageState } from '../state';
import { hasUnsaved, outcomeRequest, removalOf, removesAlike, shownResult, shownStudy, withMeasured, withoutResult, withoutStudy, withStudy, withThreshold, withVisible } from '../studies';
import type { Result, Study } from '../studies';
import { say } from '../texts/message';
import type { Text } from '../texts/message';
import type { Cleaning, ConfidenceSettings } from '../types';
import { formatDuration } from '../ui/format';

export type Voxel = readonly [number, number, number];

export async function showStudy(session: Session, id: number): Promise<void> {
  if (isRunning(session)) return;
  session.say({ remark: null });
  session.change({ shownId: id, question: null });
  await refresh(session);
}

/** Shows another result of the shown scan. */
export async function showResult(session: Session, resultId: number): Promise<void> {
  if (isRunning(session)) return;
  changeShown(session, (study) => ({ ...study, shownResultId: resultId }));
  await refresh(session);
}

/** Takes a scan off the list with its results; `confirm` is asked first where some are not saved. */
export async function removeStudy(session: Session, id: number, confirm: (question: Text) => boolean): Promise<void> {
  const study = session.state.studies.find(({ source }) => source.id === id);
  if (study === undefined || isRunning(session)) return;
  if (study.job.kind === 'running') {
    session.say({ remark: say('open.beingSegmented', { name: study.name }) });
    return;
  }
  if (hasUnsaved(study) && !confirm(say('open.confirmScan', { name: study.name }))) return;
  session.change({ ...withoutStudy(session.state, id), question: null });
  await refresh(session);
}

/** Takes a result off the shown scan. */
export async function removeResult(session: Session, resultId: number, confirm: (question: Text) => boolean): Promise<void> {
  const result = shownStudy(session.state)?.results.find(({ id }) => id === resultId);
  if (result === undefined || isRunning(session)) return;
  if (!result.saved && !confirm(say('open.confirmResult', { name: result.spec.name }))) return;
  changeShown(session, (study) => withoutResult(study, resultId));
  await refresh(session);
}

/** Measures again with or without small components; the network does not run again. An edited result stays as it is. */
export async function clean(session: Session, cleaning: Cleaning): Promise<void> {
  session.say({ remark: null });
  const result = shownResult(shownStudy(session.state));
  session.change({ cleaning, ...(result !== null && isEdited(result) ? {} : withoutEditing(session.state)) });
  await refresh(session);
}

/** Takes a label of the shown result into the picture, or out of it. */
export function showLabel(session: Session, index: number, isVisible: boolean): void {
  changeShown(session, (study) => withVisible(study, index, isVisible));
  const visible = shownResult(shownStudy(session.state))?.visible ?? [];
  void session.draw((viewer) => { viewer.setVisible(visible); });
}

/** Moves the crosshair to a voxel of the scan. */
export function goTo(session: Session, voxel: Voxel): void {
  void session.draw((viewer) => { viewer.goTo(voxel); });
}

/**
 * Updates picture and table to the shown scan, its shown result and the cleaning, and follows changes made meanwhile. Other
 * work under way calls this when it ends.
 */
export async function refresh(session: Session): Promise<void> {
  if (isBusy(session.state)) return;
  while (isOutdated(session.state)) {
    try {
      await drawNext(session);
    } catch (error) {
      session.fail(error);
      break;
    }
    if (isBusy(session.state)) session.enter(restingKind(session.state), restingText(session.state));
  }
  session.endReader();
}

/** The sentence for a result that has been made or picked. */
export function doneText({ spec, report, outcome }: Result): Text {
  const shown = shownIndices(spec);
  const found = shown.some((index) => outcome.centres[index] != null);
  const labels = shown.map((index) => spec.labels[index]!.name).slice(0, 3).join(', ');
  const done = say('run.done', { duration: () => formatDuration(report.milliseconds / 1000) });
  return found ? done : [done, say('run.nothing', { labels })];
}

export function restingText(state: PageState): Text {
  const study = shownStudy(state);
  const result = shownResult(study);
  if (study === null) return say('run.idle');
  if (result !== null) return doneText(result);
  return state.studies.length > 1 ? say('run.readyAll') : say('run.ready');
}

/** One step towards what the state asks for. */
async function drawNext(session: Session): Promise<void> {
  const study = shownStudy(session.state);
  if (study === null) await drawNothing(session);
  else if (session.state.drawn.studyId !== study.source.id) await drawScan(session, study);
  else await drawResult(session, study, shownResult(study));
}

async function drawNothing(session: Session): Promise<void> {
  session.change({ drawn: NOTHING_DRAWN, comparison: null });
  await session.draw((viewer) => { viewer.clear(); });
  session.enter(restingKind(session.state), restingText(session.state));
}

async function drawScan(session: Session, study: Study): Promise<void> {
  const { id, files } = study.source;
  session.enter('loading', say('open.openingScan', { name: study.name }));
  try {
    const { facts, display } = await session.idleClient.call('load', { scan: study.source });
    session.change({ studies: withStudy(session.state.studies, id, (now) => ({ ...now, facts })), drawn: { ...NOTHING_DRAWN, studyId: id }, comparison: null });
    await session.draw((viewer) => viewer.showScan(display));
  } catch (error) {
    await drawNothing(session); // not the picture of another scan
    if (error instanceof CallError && error.frames !== null) session.change({ question: { kind: 'frame', files, frames: error.frames, studyId: id } });
    throw error;
  }
}

async function drawResult(session: Session, study: Study, result: Result | null): Promise<void> {
  const { id } = study.source;
  if (result === null) {
    session.change({ drawn: { ...NOTHING_DRAWN, studyId: id }, comparison: null });
    await session.draw((viewer) => { viewer.clearLabels(); });
    session.enter(restingKind(session.state), restingText(session.state));
    return;
  }
  session.change({ comparison: null });
  const { drawn, cleaning } = session.state;
  const { smallestMl, keepOutsideBrain } = removalOf(result, cleaning);
  const removal = { smallestMl, keepOutsideBrain };
  const { threshold } = result;
  const isSame = drawn.resultId === result.id;
  const isMeasured = isSame && removesAlike(drawn, removal) && removesAlike(result, removal) && drawn.threshold === threshold;
  session.enter('loading', say('run.updating'));
  if (!isMeasured) {
    const { outcome, overlay } = await session.idleClient.call('outcome', outcomeRequest(study, { ...result, ...removal }));
    session.change({
      studies: withStudy(session.state.studies, id, (now) => withMeasured(now, result.id, outcome, removal, result.edit)),
      drawn: { studyId: id, resultId: result.id, ...removal, threshold, probability: drawn.probability && isSame },
    });
    await session.draw((viewer) => viewer.showLabels(overlay, result.spec.labels, result.visible, isSame));
  }
  await drawProbability(session, study, result);
}

/** Lays the probability over the labels, or takes it away. */
async function drawProbability(session: Session, study: Study, result: Result): Promise<void> {
  const probability = drawsProbability(session.state, result);
  if (session.state.drawn.probability === probability) return;
  const overlay = probability ? (await session.idleClient.call('probability', outcomeRequest(study, result))).overlay : null;
  session.change({ drawn: { ...session.state.drawn, probability } });
  await session.draw((viewer) => viewer.showProbability(overlay));
}

/** Thresholds the shown result again; null for the most probable label everywhere. */
export async function threshold(session: Session, value: number | null): Promise<void> {
  const result = shownResult(shownStudy(session.state));
  if (result !== null && isEdited(result)) {
    session.say({ remark: say('results.editedThreshold') });
    return;
  }
  session.change(withoutEditing(session.state));
  changeShown(session, (study) => withThreshold(study, value));
  await refresh(session);
}

export async function changeConfidence(session: Session, confidence: ConfidenceSettings): Promise<void> {
  session.change({ confidence });
  await refresh(session);
}

function changeShown(session: Session, change: (study: Study) => Study): void {
  const { studies, shownId } = session.state;
  if (shownId !== null) session.change({ studies: withStudy(studies, shownId, change) });
}

/** Says so where a run of the shown scan is under way. */
function isRunning(session: Session): boolean {
  const running = session.state.activity.kind === 'running';
  if (running) session.say({ remark: say('run.underWay') });
  return running;
}
