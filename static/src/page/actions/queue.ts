// Running the queue (../queue.ts): one model, one scan after the other. A scan that fails is named in the list and the queue
// goes on. The shown scan can be changed meanwhile, because a second worker reads it.
import type { Session } from '../session';
import { allowsQueue, confidenceOptions, isBusy, pickedModel } from '../state';
import { afterScan, isActive, nextWaiting, runningStudy, startQueue, withJob } from '../queue';
import type { Queue } from '../queue';
import type { Run } from '../types';
import { withResult, withStudy } from '../studies';
import type { Job, Study } from '../studies';
import { keepAwake } from '../ui/awake';
import { textOf } from '../texts/language';
import { refresh } from './look';
import { measured, NEW_RUN, stageListener } from './segment';

/** Runs the picked model on every listed scan that has no result of it. */
export async function segmentAll(session: Session): Promise<void> {
  const model = pickedModel(session.state);
  if (model === null || isBusy(session.state) || isActive(session.state.queue) || !allowsQueue(session.state)) return;
  session.say({ remark: null });
  const started = startQueue(session.state.studies, model);
  if (started.queue.ids.length === 0) return;
  session.change({ ...started, question: null });
  await work(session);
}

/** The scan under way is finished first. */
export function pauseQueue(session: Session): void {
  changeQueue(session, (queue) => (queue.state === 'running' ? { ...queue, state: 'pausing' } : queue));
}

export async function resumeQueue(session: Session): Promise<void> {
  const { queue } = session.state;
  if (queue?.state === 'pausing') session.change({ queue: { ...queue, state: 'running' } });
  if (queue?.state !== 'paused' || isBusy(session.state)) return;
  session.change({ queue: { ...queue, state: 'running' } });
  await work(session);
}

/** Leaves the scan under way out; the queue goes on with the next one. */
export function skipScan(session: Session): void {
  endScan(session, 'skipped');
}

/** Stops the scan under way at once and pauses; the scan waits again. */
export function stopScan(session: Session): void {
  changeQueue(session, (queue) => ({ ...queue, state: 'pausing' }));
  endScan(session, 'waiting');
}

function endScan(session: Session, kind: 'skipped' | 'waiting'): void {
  const running = runningStudy(session.state.studies);
  if (running === null) return;
  session.change({ studies: withJob(session.state.studies, running.source.id, { kind }) });
  session.services.client.cancel();
}

async function work(session: Session): Promise<void> {
  const awake = await keepAwake();
  for (let next = nextOf(session); next !== null; next = nextOf(session)) {
    const start = performance.now();
    await runScan(session, next);
    const { studies, queue } = session.state;
    const isDone = studies.some(({ source, job }) => source.id === next.source.id && job.kind === 'done');
    session.change({ queue: afterScan({ studies, queue: queue! }, isDone ? (performance.now() - start) / 1000 : 0) });
    void refresh(session); // where the scan shown is the one that has a result now
  }
  void awake?.release();
  session.endReader();
}

function nextOf({ state: { studies, queue } }: Session): Study | null {
  return queue !== null && isActive(queue) ? nextWaiting({ studies, queue }) : null;
}

async function runScan(session: Session, { source }: Study): Promise<void> {
  const { client, options } = session.services;
  const { model } = session.state.queue!;
  const { id } = source;
  const confidence = confidenceOptions(session.state);
  const setJob = (job: Job): void => { session.change({ studies: withJob(session.state.studies, id, job) }); };
  const job = (): Job => session.state.studies.find((study) => study.source.id === id)?.job ?? { kind: 'none' };
  const runNow = (): Run | null => { const now = job(); return now.kind === 'running' ? now.run : null; };
  setJob({ kind: 'running', run: NEW_RUN });
  try {
    const ran = await client.call('run', { scan: source, source: model.source, options, confidence }, stageListener(session, runNow, (run) => { setJob({ kind: 'running', run }); }));
    const { result } = await measured(session, model.key, ran, confidence.mirror);
    session.change({ studies: withStudy(session.state.studies, id, (study) => {
      const added = withResult({ ...study, facts: ran.facts }, result);
      // A result that is being edited stays in the picture.
      const { editing } = session.state;
      const stays = study.results.some((other) => other.id === editing?.resultId) && study.source.id === session.state.shownId;
      return { ...added, shownResultId: stays ? study.shownResultId : added.shownResultId, job: { kind: 'done' } };
    }) });
  } catch (error) {
    // A scan that was skipped or stopped has its job already.
    if (job().kind === 'running') setJob({ kind: 'failed', reason: textOf(error) });
  }
}

function changeQueue(session: Session, change: (queue: Queue) => Queue): void {
  const { queue } = session.state;
  if (queue !== null) session.change({ queue: change(queue) });
}
