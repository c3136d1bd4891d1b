// Segmenting the shown scan.
import { shownIndices } from '../../volume/label-roles';
import { CallError } from '../../worker/client';
import type { Calls, Stage } from '../../worker/protocol';
import type { Session } from '../session';
import { jobBeside } from '../queue';
import { canRun, confidenceOptions, NOTHING_DRAWN, pickedModel, restingKind } from '../state';
import { shownStudy, withResult, withStudy } from '../studies';
import type { Result, Study } from '../studies';
import type { Run } from '../types';
import { keepAwake } from '../ui/awake';
import { findPace } from './models';
import { say } from '../texts/message';
import type { Text } from '../texts/message';
import { doneText, goTo, refresh } from './look';

/** A run that has begun and has not reported yet. */
export const NEW_RUN: Run = { started: false, progress: null, elapsedSeconds: 0 };

/** Finds out which backend a run would use. */
export async function findBackend(session: Session): Promise<void> {
  const { client, options } = session.services;
  try {
    session.change({ choice: await client.call('probe', options) });
    void findPace(session);
  } catch (error) {
    session.fail(error);
  }
}

/** Runs the picked model on the shown scan; its result is added to those that the scan has. */
export async function segment(session: Session): Promise<void> {
  const { client, options } = session.services;
  const study = shownStudy(session.state);
  const model = pickedModel(session.state);
  if (study === null || model === null || !canRun(session.state)) return;
  const confidence = confidenceOptions(session.state);
  session.say({ remark: null });
  session.enter('running', say('run.running', { model: model.name }), { run: NEW_RUN, question: null });
  const awake = await keepAwake();
  try {
    const onStage = stageListener(session, () => session.state.run, (run) => { session.change({ run }); });
    const ran = await client.call('run', { scan: study.source, source: model.source, options, confidence }, onStage);
    session.enter('loading', say('run.measuring'));
    session.say({ lastError: null });
    await addResult(session, study.source.id, model.key, ran, confidence.mirror);
  } catch (error) {
    if (error instanceof CallError && error.cancelled) session.enter(restingKind(session.state), cancelledText(study.results.length));
    else session.fail(error);
  } finally {
    void awake?.release();
  }
  await refresh(session);
}

export function cancel(session: Session): void {
  session.services.client.cancel();
}

/** Reports a run's stages as the run that `now` returns, changed. */
export function stageListener(session: Session, now: () => Run | null, change: (run: Run) => void): (stage: Stage) => void {
  let start = performance.now();
  return (stage) => {
    const run = now();
    if (run === null) return;
    if (stage.stage === 'backend') {
      start = performance.now();
      session.change({ choice: stage });
      change({ ...run, started: true });
    } else if (stage.stage === 'layers') {
      change({ ...run, progress: stage, elapsedSeconds: (performance.now() - start) / 1000 });
    }
  };
}

type Ran = Calls['run']['reply'];
type Overlay = Calls['outcome']['reply']['overlay'];

/** A new result of a run, measured with the cleaning that is set. */
export async function measured(session: Session, modelKey: string, { facts, spec, report, labels }: Ran, mirror: boolean): Promise<{ result: Result; overlay: Overlay }> {
  const { smallestMl, keepOutsideBrain } = session.state.cleaning;
  const { outcome, overlay } = await session.services.client.call('outcome', { labels, grid: facts.grid, smallestMl, keepOutsideBrain, threshold: null, edit: null });
  return { result: { id: session.newId(), modelKey, spec, report, labels, outcome, smallestMl, keepOutsideBrain, visible: shownIndices(spec), mirror, threshold: null, edit: null, saved: false }, overlay };
}

/** Adds the result of a run to the shown scan and moves the crosshair to what was found. */
async function addResult(session: Session, id: number, modelKey: string, ran: Ran, mirror: boolean): Promise<void> {
  const { result, overlay } = await measured(session, modelKey, ran, mirror);
  const { studies, queue } = session.state;
  const add = (study: Study): Study => ({ ...withResult({ ...study, facts: ran.facts }, result), job: jobBeside(study.job, queue, modelKey) });
  session.change({ studies: withStudy(studies, id, add), drawn: { ...NOTHING_DRAWN, studyId: id, resultId: result.id, smallestMl: result.smallestMl, keepOutsideBrain: result.keepOutsideBrain }, comparison: null });
  await session.draw((viewer) => viewer.showLabels(overlay, result.spec.labels, result.visible));
  const { outcome, spec } = result;
  const found = shownIndices(spec).find((index) => outcome.centres[index] != null);
  if (found !== undefined) goTo(session, outcome.parts?.largest[0]?.centre ?? outcome.centres[found]!);
  session.change({ pace: { ...session.state.pace, [modelKey]: ran.report.milliseconds / 1000 / (mirror ? 2 : 1) } });
  session.enter('done', doneText(result));
}

function cancelledText(results: number): Text {
  return results > 0 ? say('run.cancelledWithResults') : say('run.cancelled');
}
