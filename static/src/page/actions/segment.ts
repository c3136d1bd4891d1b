// Segmenting the open scan and measuring the result.
import { CallError } from '../../worker/client';
import type { Stage } from '../../worker/protocol';
import type { Session } from '../session';
import { canRun, isBusy, pickedModel } from '../state';
import { keepAwake } from '../ui/awake';
import { formatDuration } from '../ui/format';

type Voxel = readonly [number, number, number];

/** Finds out which backend a run would use. */
export async function findBackend(session: Session): Promise<void> {
  const { client, options } = session.services;
  try {
    session.change({ choice: await client.call('probe', options) });
  } catch (error) {
    session.fail(error);
  }
}

/** Runs the picked model on the open scan. */
export async function segment(session: Session): Promise<void> {
  const { client, options } = session.services;
  const { study } = session.state;
  const model = pickedModel(session.state);
  if (study === null || model === null || !canRun(session.state)) return;
  session.say({ remark: null });
  session.enter('running', `Segmenting with ${model.name}…`, {
    study: { ...study, result: null },
    run: { started: false, progress: null, elapsedSeconds: 0 },
    question: null, // it is about another scan
  });
  await session.draw((viewer) => { viewer.clearLabels(); });
  const awake = await keepAwake();
  try {
    const { spec, report } = await client.call('run', { source: model.source, options }, stageListener(session));
    session.change({ study: { ...study, result: { spec, report, modelKey: model.key, outcome: null, smallestMl: null } }, outdated: true });
    session.say({ lastError: null });
    await measure(session, 'Measuring…', true);
  } catch (error) {
    if (error instanceof CallError && error.cancelled) session.enter('ready', 'Cancelled. The scan is still open; press Segment to start again.');
    else session.fail(error);
  } finally {
    void awake?.release();
  }
}

export function cancel(session: Session): void {
  session.services.client.cancel();
}

/** Measures again with or without small components; the network does not run again. */
export async function clean(session: Session): Promise<void> {
  if (session.state.study?.result == null) return;
  session.change({ outdated: true });
  session.say({ remark: null });
  // Where a measurement is under way, its loop takes this change up.
  if (!isBusy(session.state)) await updateOutcome(session);
}

/** Measures again where the outcome shown is not the one asked for. */
export async function updateOutcome(session: Session): Promise<void> {
  if (session.state.study?.result != null) await measure(session, 'Updating the result…', false);
}

/** Moves the crosshair to a voxel of the scan. */
export function goTo(session: Session, voxel: Voxel): void {
  void session.draw((viewer) => { viewer.goTo(voxel); });
}

function stageListener(session: Session): (stage: Stage) => void {
  let start = performance.now();
  return (stage) => {
    const { run } = session.state;
    if (run === null) return;
    if (stage.stage === 'backend') {
      start = performance.now();
      session.change({ choice: stage, run: { ...run, started: true } });
    } else if (stage.stage === 'layers') {
      session.change({ run: { ...run, progress: stage, elapsedSeconds: (performance.now() - start) / 1000 } });
    }
  };
}

/** Measures until the outcome shown is the one asked for; nothing is left to cancel by then. */
async function measure(session: Session, text: string, lookThere: boolean): Promise<void> {
  while (session.state.outdated) {
    session.enter('loading', text, { outdated: false });
    try {
      await showOutcome(session, lookThere);
    } catch (error) {
      session.fail(error);
    }
  }
}

async function showOutcome(session: Session, lookThere: boolean): Promise<void> {
  const { study } = session.state;
  if (study?.result == null) return;
  const { spec, report } = study.result;
  const { smallestMl, problem } = session.services.cleaning();
  if (problem !== null) session.say({ remark: problem });
  const outcome = await session.services.client.call('outcome', { smallestMl });
  await session.draw((viewer) => viewer.showLabels(outcome.overlay, spec.labels));
  session.change({ study: { ...study, result: { ...study.result, outcome, smallestMl } } });
  const found = spec.labels.find(({ index }) => index !== 0 && outcome.centres[index] != null);
  if (lookThere && found !== undefined) goTo(session, outcome.parts?.largest[0]?.centre ?? outcome.centres[found.index]!);
  const nothing = found === undefined ? ` No ${spec.labels.slice(1).map(({ name }) => name).slice(0, 3).join(', ')} found.` : '';
  session.enter('done', `Done in ${formatDuration(report.milliseconds / 1000)}.${nothing}`);
}
