// The queue: one model run on every listed scan that has no result of it. Pure functions; actions/queue.ts runs it. Each
// scan's part is its `job`; the queue itself holds the order, the model, and its state.
import type { ListedModel } from './ui/models';
import { secondsLeft } from './ui/format';
import { withStudy } from './studies';
import type { Job, Study } from './studies';

export interface Queue {
  /** The model picked when the queue was started. */
  readonly model: ListedModel;
  /** Scans of this queue in the order in which they run; the finished ones stay. */
  readonly ids: readonly number[];
  /** `pausing`: the scan under way is the last one for now. */
  readonly state: 'running' | 'pausing' | 'paused' | 'finished';
  /** Time that the scans done so far took together. */
  readonly spentSeconds: number;
}

interface Queued {
  readonly studies: readonly Study[];
  readonly queue: Queue;
}

export interface QueueCounts {
  readonly total: number;
  readonly done: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Scans without a result of this model. */
export function dueIds(studies: readonly Study[], modelKey: string): readonly number[] {
  return studies.filter(({ results }) => !results.some((result) => result.modelKey === modelKey)).map(({ source }) => source.id);
}

/** Every due scan waits; the other scans lose the job of an earlier queue. */
export function startQueue(studies: readonly Study[], model: ListedModel): Queued {
  const ids = dueIds(studies, model.key);
  const marked = studies.map((study): Study => ({ ...study, job: { kind: ids.includes(study.source.id) ? 'waiting' : 'none' } }));
  return { studies: marked, queue: { model, ids, state: 'running', spentSeconds: 0 } };
}

/** Scans that are opened while the queue runs are added at its end. */
export function enqueue({ studies, queue }: Queued, ids: readonly number[]): Queued {
  const marked = studies.map((study): Study => (ids.includes(study.source.id) ? { ...study, job: { kind: 'waiting' } } : study));
  return { studies: marked, queue: { ...queue, ids: [...queue.ids, ...ids] } };
}

export function withJob(studies: readonly Study[], id: number, job: Job): readonly Study[] {
  return withStudy(studies, id, (study) => ({ ...study, job }));
}

/** The scan that runs next; null where none waits. */
export function nextWaiting({ studies, queue }: Queued): Study | null {
  const waiting = queuedOf({ studies, queue }).filter(({ job }) => job.kind === 'waiting');
  return waiting[0] ?? null;
}

/** A scan's job once it has a result from outside the queue: if the queue's model made that result, the job is done. */
export function jobBeside(job: Job, queue: Queue | null, modelKey: string): Job {
  return job.kind !== 'none' && queue?.model.key === modelKey ? { kind: 'done' } : job;
}

export function runningStudy(studies: readonly Study[]): Study | null {
  return studies.find(({ job }) => job.kind === 'running') ?? null;
}

/** The queue after a scan has ended: it continues, pauses or is finished. */
export function afterScan({ studies, queue }: Queued, seconds: number): Queue {
  const spent = { ...queue, spentSeconds: queue.spentSeconds + seconds };
  if (nextWaiting({ studies, queue }) === null) return { ...spent, state: 'finished' };
  return queue.state === 'pausing' ? { ...spent, state: 'paused' } : spent;
}

/** Whether the queue occupies the engine. */
export function isActive(queue: Queue | null): boolean {
  return queue?.state === 'running' || queue?.state === 'pausing';
}

export function queueCounts(queued: Queued): QueueCounts {
  const all = queuedOf(queued);
  const count = (kind: Job['kind']): number => all.filter(({ job }) => job.kind === kind).length;
  return { total: all.length, done: count('done'), failed: count('failed'), skipped: count('skipped') };
}

/** Share of the queue that is done, 0 … 1. */
export function queueFraction(queued: Queued): number {
  const { total, done, failed, skipped } = queueCounts(queued);
  return total === 0 ? 1 : (done + failed + skipped + (progressOf(runningStudy(queued.studies))?.fraction ?? 0)) / total;
}

/** Estimated from the scans done so far, or from the progress of the first one; null while neither gives an estimate. */
export function queueSecondsLeft(queued: Queued): number | null {
  const { total, done, failed, skipped } = queueCounts(queued);
  const running = runningStudy(queued.studies);
  const own = progressOf(running);
  const left = total - done - failed - skipped;
  if (done > 0) return Math.max(0, (queued.queue.spentSeconds / done) * (left - (own?.fraction ?? 0)));
  if (own === null) return null;
  const first = secondsLeft(own.fraction, own.elapsedSeconds);
  return first === null ? null : first + (own.elapsedSeconds + first) * (left - 1);
}

function queuedOf({ studies, queue }: Queued): Study[] {
  return queue.ids.flatMap((id) => studies.filter(({ source }) => source.id === id));
}

function progressOf(study: Study | null): { readonly fraction: number; readonly elapsedSeconds: number } | null {
  if (study?.job.kind !== 'running' || study.job.run.progress === null) return null;
  return { fraction: study.job.run.progress.fraction, elapsedSeconds: study.job.run.elapsedSeconds };
}
