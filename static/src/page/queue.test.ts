import { describe, expect, test } from 'vitest';
import { afterScan, dueIds, enqueue, isActive, jobBeside, nextWaiting, queueCounts, queueFraction, queueSecondsLeft, startQueue, withJob } from './queue';
import type { Queue } from './queue';
import { hasUnsaved, resultName, shownResult, withMeasured, withResult, withStudies, withoutResult, withoutStudy } from './studies';
import type { Job, Result, Study } from './studies';
import { withPath } from './ui/paths';
import type { ListedModel } from './ui/models';
import { summaryCsv, summaryOf } from './ui/summary';
import { read } from './texts/language';

const MODEL = { key: 'small', name: 'Small' } as unknown as ListedModel;
const NONE = { studies: [], shownId: null };

const scan = (path: string): { files: File[]; frame: null; facts: null } => ({ files: [withPath(new File([], path.split('/').at(-1)!), path)], frame: null, facts: null });
const listOf = (...paths: string[]): readonly Study[] => withStudies(NONE, paths.map(scan), paths.map((_, n) => n + 1)).studies;

const resultOf = (id: number, modelKey: string, labels: Record<string, number> = {}): Result => ({
  id,
  modelKey,
  smallestMl: null,
  edit: null,
  keepOutsideBrain: false,
  saved: false,
  spec: { id: modelKey, name: modelKey, labels: [{ index: 0, name: 'background' }, ...Object.keys(labels).map((name, n) => ({ index: n + 1, name }))] },
  outcome: { volumes: [{ index: 0, voxels: 9, volumeMl: 9 }, ...Object.values(labels).map((volumeMl, n) => ({ index: n + 1, voxels: 1, volumeMl }))] },
} as unknown as Result);

const jobs = (studies: readonly Study[]): string[] => studies.map(({ job }) => job.kind);
const running = (fraction: number, elapsedSeconds: number): Job => ({ kind: 'running', run: { started: true, progress: { layer: 0, layers: 1, fraction }, elapsedSeconds } });

describe('a queue', () => {
  test('holds the scans without a result of its model, in the order of the list', () => {
    const [a, b, c] = listOf('a.nii', 'b.nii', 'c.nii');
    const studies = [withResult(a!, resultOf(9, 'other')), withResult(b!, resultOf(8, 'small')), { ...c!, job: { kind: 'failed', reason: 'too big' } } as Study];
    expect(dueIds(studies, 'small')).toEqual([1, 3]);
    const started = startQueue(studies, MODEL);
    expect(jobs(started.studies)).toEqual(['waiting', 'none', 'waiting']);
    expect(nextWaiting(started)?.source.id).toBe(1);
  });

  test('goes on after a scan that failed or was skipped, and is finished when none waits', () => {
    let { studies, queue } = startQueue(listOf('a.nii', 'b.nii', 'c.nii'), MODEL);
    const end = (id: number, job: Job, seconds: number): void => {
      studies = withJob(studies, id, job);
      queue = afterScan({ studies, queue }, seconds);
    };
    end(1, { kind: 'failed', reason: 'no voxel' }, 0);
    expect([queue.state, nextWaiting({ studies, queue })?.source.id]).toEqual(['running', 2]);
    end(2, { kind: 'skipped' }, 0);
    end(3, { kind: 'done' }, 10);
    expect([queue.state, nextWaiting({ studies, queue })]).toEqual(['finished', null]);
    expect(queueCounts({ studies, queue })).toEqual({ total: 3, done: 1, failed: 1, skipped: 1 });
    expect(isActive(queue)).toBe(false);
  });

  test('that was asked to pause does so after the scan under way; a scan that was stopped waits again', () => {
    const { studies, queue } = startQueue(listOf('a.nii', 'b.nii'), MODEL);
    const pausing: Queue = { ...queue, state: 'pausing' };
    expect(isActive(pausing)).toBe(true);
    expect(afterScan({ studies: withJob(studies, 1, { kind: 'done' }), queue: pausing }, 1).state).toBe('paused');
    const stopped = { studies: withJob(studies, 1, { kind: 'waiting' }), queue: pausing };
    expect(afterScan(stopped, 0).state).toBe('paused');
    expect(nextWaiting(stopped)?.source.id).toBe(1);
    const last = { studies: withJob(withJob(studies, 1, { kind: 'done' }), 2, { kind: 'done' }), queue: pausing };
    expect(afterScan(last, 1).state).toBe('finished');
  });

  test('has nothing left to do for a scan that got a result of its model beside it', () => {
    const { queue } = startQueue(listOf('a.nii'), MODEL);
    expect(jobBeside({ kind: 'failed', reason: '' }, queue, 'small')).toEqual({ kind: 'done' });
    expect(jobBeside({ kind: 'waiting' }, queue, 'other')).toEqual({ kind: 'waiting' });
    expect(jobBeside({ kind: 'none' }, null, 'small')).toEqual({ kind: 'none' });
  });

  test('takes scans that are opened meanwhile at its end and forgets those that are removed', () => {
    const { studies, queue } = startQueue(listOf('a.nii', 'b.nii'), MODEL);
    const more = enqueue({ queue, studies: withStudies({ studies, shownId: 1 }, [scan('c.nii')], [7]).studies }, [7]);
    expect(more.queue.ids).toEqual([1, 2, 7]);
    const { studies: left } = withoutStudy({ studies: more.studies, shownId: 1 }, 1);
    expect(nextWaiting({ studies: left, queue: more.queue })?.source.id).toBe(2);
    expect(queueCounts({ studies: left, queue: more.queue }).total).toBe(2);
  });

  test('says its share and the time left from the scans that are done, at first from the one under way', () => {
    const { studies, queue } = startQueue(listOf('a.nii', 'b.nii', 'c.nii', 'd.nii'), MODEL);
    expect([queueFraction({ studies, queue }), queueSecondsLeft({ studies, queue })]).toEqual([0, null]);
    const first = withJob(studies, 1, running(0.5, 10));
    expect(queueFraction({ studies: first, queue })).toBe(0.125);
    expect(queueSecondsLeft({ studies: first, queue })).toBe(10 + 3 * 20);
    const second = withJob(withJob(studies, 1, { kind: 'done' }), 2, running(0.25, 1));
    expect(queueSecondsLeft({ studies: second, queue: { ...queue, spentSeconds: 8 } })).toBe(8 * 2.75);
  });
});

describe('the list of scans', () => {
  test('tells files of one name apart by their folders, where these are unknown by numbers', () => {
    const names = (...paths: string[]): string[] => listOf(...paths).map(({ name }) => name);
    expect(names('s/sub-1/T1.nii', 's/sub-2/T1.nii', 's/sub-2/T2.nii')).toEqual(['s/sub-1/T1.nii', 's/sub-2/T1.nii', 'T2.nii']);
    expect(names('T1.nii', 'T1.nii')).toEqual(['T1.nii (1)', 'T1.nii (2)']);
  });

  test('shows the neighbour of a scan that is removed', () => {
    const studies = listOf('a.nii', 'b.nii', 'c.nii');
    expect(withoutStudy({ studies, shownId: 2 }, 2).shownId).toBe(3);
    expect(withoutStudy({ studies, shownId: 3 }, 3).shownId).toBe(2);
    expect(withoutStudy({ studies, shownId: 3 }, 1).shownId).toBe(3);
    expect(withoutStudy({ studies: studies.slice(0, 1), shownId: 1 }, 1).shownId).toBeNull();
  });

  test('keeps every result of a scan and numbers those of one model', () => {
    const study = [resultOf(5, 'small'), resultOf(6, 'other'), resultOf(7, 'small')].reduce(withResult, listOf('a.nii')[0]!);
    expect(study.results.map((result) => read(resultName(study, result)))).toEqual(['small, run 1', 'other', 'small, run 2']);
    expect(shownResult(study)?.id).toBe(7);
    expect(shownResult(withoutResult(study, 7))?.id).toBe(6);
    expect(shownResult(withoutResult(study, 5))?.id).toBe(7);
  });

  test('counts a result as saved until it is measured with another cleaning', () => {
    const result = { ...resultOf(5, 'small'), saved: true };
    const study = withResult(listOf('a.nii')[0]!, result);
    expect(hasUnsaved(withMeasured(study, 5, result.outcome, { smallestMl: null, keepOutsideBrain: false }))).toBe(false);
    expect(hasUnsaved(withMeasured(study, 5, result.outcome, { smallestMl: 0.5, keepOutsideBrain: false }))).toBe(true);
    expect(hasUnsaved(withMeasured(study, 5, result.outcome, { smallestMl: null, keepOutsideBrain: true }))).toBe(true);
  });
});

test('the table of all scans leaves a cell empty where a model has no such label or a scan has no result', () => {
  const [a, b, c] = listOf('a.nii', 'b.nii', 'c.nii');
  const studies = [
    withResult(withResult(a!, resultOf(5, 'lesions', { lesion: 34.917 })), resultOf(6, 'tissue', { grey: 600, white: 0 })),
    { ...b!, job: { kind: 'failed', reason: 'b.nii: cut short, "again"' } } as Study,
    c!,
  ];
  expect(summaryOf(studies).rows.map(({ volumesMl }) => volumesMl)).toEqual([[34.917, null, null], [null, 600, 0], [null, null, null], [null, null, null]]);
  expect(summaryCsv(summaryOf(studies)).split('\r\n')).toEqual([
    'scan,model,state,lesion (mL),grey (mL),white (mL)',
    'a.nii,lesions,done,34.9170,,',
    'a.nii,tissue,done,,600.0000,0.0000',
    'b.nii,,"failed: b.nii: cut short, ""again""",,,',
    'c.nii,,not segmented,,,',
    '',
  ]);
});
