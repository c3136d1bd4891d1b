// One table of all listed scans and their results: a row per result, a column per label. A label that a model does not have,
// or a scan without a result, is an empty cell and not 0 mL.
import { resultName } from '../studies';
import type { Study } from '../studies';
import { inEnglish } from '../texts/language';
import { say } from '../texts/message';
import type { Text } from '../texts/message';
import { csvLine } from './table';

export interface Summary {
  /** Names of the labels of all results, background left out, in the order of the models. */
  readonly labels: readonly string[];
  readonly rows: readonly SummaryRow[];
}

export interface SummaryRow {
  readonly scan: string;
  /** Empty where the scan has no result. */
  readonly model: Text;
  /** "done", or why there is no result. */
  readonly state: Text;
  /** One for each of `labels`. */
  readonly volumesMl: readonly (number | null)[];
}

export function summaryOf(studies: readonly Study[]): Summary {
  const specs = studies.flatMap(({ results }) => results.map(({ spec }) => spec));
  const labels = [...new Set(specs.flatMap((spec) => spec.labels.filter(({ index }) => index !== 0).map(({ name }) => name)))];
  const rows = studies.flatMap((study): SummaryRow[] => {
    const state = stateText(study);
    const own = study.results.map((result): SummaryRow => ({
      scan: study.name,
      model: resultName(study, result),
      state: say('scans.done'),
      volumesMl: labels.map((name) => {
        const label = result.spec.labels.find((other) => other.name === name && other.index !== 0);
        return label === undefined ? null : (result.outcome.volumes[label.index]?.volumeMl ?? 0);
      }),
    }));
    // A failure stays in the table beside the results of other models.
    return own.length > 0 && state === null ? own : [...own, { scan: study.name, model: '', state: state ?? say('scans.notSegmented'), volumesMl: labels.map(() => null) }];
  });
  return { labels, rows };
}

/** RFC 4180, volumes in mL with four decimals as in the table of one scan. */
export function summaryCsv({ labels, rows }: Summary): string {
  const head = ['scan', 'model', 'state', ...labels.map((name) => `${name} (mL)`)];
  return [head, ...rows.map(({ scan, model, state, volumesMl }) => [scan, inEnglish(model), inEnglish(state), ...volumesMl.map((volume) => volume?.toFixed(4) ?? '')])].map(csvLine).join('');
}

/** Why this scan has no result of the last queue; null where it has or was not in it. */
export function stateText({ job }: Study): Text | null {
  if (job.kind === 'failed') return say('scans.failedFor', { reason: job.reason });
  return job.kind === 'skipped' || job.kind === 'waiting' || job.kind === 'running' ? say(`scans.${job.kind}`) : null;
}
