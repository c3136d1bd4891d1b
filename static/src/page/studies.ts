// The list of scans with their results: plain data and pure functions. A scan is held as references to its files, a result
// as compressed labels: only the shown scan is decoded, in the worker and in the viewer.
import type { ModelSpec } from '../generated/model-spec';
import { shownIndices } from '../volume/label-roles';
import { conversionNotesOf } from './ui/conversion-notes';
import type { Note } from '../volume/notes';
import type { Outcome, OutcomeRequest, RunReport, ScanFacts, ScanSource, StoredLabels } from '../worker/protocol';
import { isEdited } from './edit/history';
import type { Edit } from './edit/history';
import { say } from './texts/message';
import type { Text } from './texts/message';
import type { Run } from './types';
import { pathOf } from './ui/paths';

export interface Study {
  readonly source: ScanSource;
  /** The scan's file name, preceded by its folder where several scans have this file name. */
  readonly name: string;
  /** Null until the scan has been read. */
  readonly facts: ScanFacts | null;
  /** In the order in which they were made. */
  readonly results: readonly Result[];
  /** The result in the picture and the table; null where there is none. */
  readonly shownResultId: number | null;
  readonly job: Job;
}

/** One run of a model on a scan. */
export interface Result {
  readonly id: number;
  /** Of the model in the list that was run. */
  readonly modelKey: string;
  readonly spec: ModelSpec;
  readonly report: RunReport;
  readonly labels: StoredLabels;
  readonly outcome: Outcome;
  /** Components below this volume were removed from the outcome; null where none were. */
  readonly smallestMl: number | null;
  /** Whether the outcome has all that the brain rule would drop. */
  readonly keepOutsideBrain: boolean;
  /** Indices of the labels in the picture; the others are measured too. */
  readonly visible: readonly number[];
  /** Whether it is the average with the mirror image. */
  readonly mirror: boolean;
  /** On the probability of the lesion, 0…1, as the slider has it; null for the most probable label everywhere. */
  readonly threshold: number | null;
  /** Changes by hand; null where there were none. */
  readonly edit: Edit | null;
  /** Whether its labels or volumes have been saved as they are. */
  readonly saved: boolean;
}

/** A scan's part in the queue (queue.ts). */
export type Job =
  | { readonly kind: 'none' }
  | { readonly kind: 'waiting' }
  | { readonly kind: 'running'; readonly run: Run }
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly reason: Text }
  | { readonly kind: 'skipped' };

export interface Studies {
  readonly studies: readonly Study[];
  /** Id of the scan in the picture; null where the list is empty. */
  readonly shownId: number | null;
}

/** A scan to be listed. */
export interface NewStudy {
  readonly files: readonly File[];
  readonly frame: number | null;
  readonly facts: ScanFacts | null;
}

/** The list with scans added at its end under these ids. The first of them is shown. */
export function withStudies({ studies, shownId }: Studies, added: readonly NewStudy[], ids: readonly number[]): Studies {
  const made = added.map(({ files, frame, facts }, n): Study => ({
    source: { id: ids[n]!, files, frame },
    name: files[0]!.name,
    facts,
    results: [],
    shownResultId: null,
    job: { kind: 'none' },
  }));
  return { studies: withNames([...studies, ...made]), shownId: ids[0] ?? shownId };
}

/** The list with the scans of an earlier visit at its start; `shownId` is shown unless another scan is. */
export function withKept(now: Studies, kept: readonly Study[], shownId: number | null): Studies {
  return { studies: withNames([...kept, ...now.studies]), shownId: now.shownId ?? shownId };
}

/** The list without this scan; the scan after it is shown in its place, or the one before it. */
export function withoutStudy({ studies, shownId }: Studies, id: number): Studies {
  const place = studies.findIndex(({ source }) => source.id === id);
  const left = studies.filter(({ source }) => source.id !== id);
  const next = left[Math.min(place, left.length - 1)]?.source.id ?? null;
  return { studies: withNames(left), shownId: shownId === id ? next : shownId };
}

/** The list with this scan changed. */
export function withStudy(studies: readonly Study[], id: number, change: (study: Study) => Study): readonly Study[] {
  return studies.map((study) => (study.source.id === id ? change(study) : study));
}

/** The scan with a result added, which is shown. */
export function withResult(study: Study, result: Result): Study {
  return { ...study, results: [...study.results, result], shownResultId: result.id };
}

/** The scan without this result; the one made last is shown in its place. */
export function withoutResult(study: Study, id: number): Study {
  const results = study.results.filter((result) => result.id !== id);
  return { ...study, results, shownResultId: study.shownResultId === id ? (results.at(-1)?.id ?? null) : study.shownResultId };
}

/** The parts of a result's labels that are removed before they are measured and drawn. */
export type Removal = Pick<Result, 'smallestMl' | 'keepOutsideBrain'>;

export function removesAlike(one: Removal, other: Removal): boolean {
  return one.smallestMl === other.smallestMl && one.keepOutsideBrain === other.keepOutsideBrain;
}

/** The shown result with a label in the picture, or without it. */
export function withVisible(study: Study, index: number, isVisible: boolean): Study {
  const change = ({ visible }: Result): readonly number[] => [...visible.filter((other) => other !== index), ...(isVisible ? [index] : [])];
  return { ...study, results: study.results.map((result) => (result.id === study.shownResultId ? { ...result, visible: change(result) } : result)) };
}

/** `edit`: the edits that were measured; later ones are measured next. A change of the removal discards steps that could be redone. */
export function withMeasured(study: Study, id: number, outcome: Outcome, { smallestMl, keepOutsideBrain }: Removal, edit: Edit | null = null): Study {
  const measured = (result: Result): Result => {
    const isAlike = removesAlike(result, { smallestMl, keepOutsideBrain });
    return { ...result, outcome, smallestMl, keepOutsideBrain, edit: isAlike ? afterMeasuring(result.edit, edit) : null, saved: result.saved && isAlike };
  };
  const results = study.results.map((result) => (result.id === id ? measured(result) : result));
  return { ...study, results };
}

function afterMeasuring(now: Edit | null, measured: Edit | null): Edit | null {
  return now !== null && now.delta === measured?.delta ? { ...now, isMeasured: true } : now;
}

/** The scan with a result edited by hand. */
export function withEdit(study: Study, id: number, edit: Edit): Study {
  return { ...study, results: study.results.map((result) => (result.id === id ? { ...result, edit, saved: false } : result)) };
}

/** The removal that applies to a result: the current setting, but an edited result keeps the setting from when the editing began. */
export function removalOf(result: Result, set: Removal): Removal {
  return isEdited(result) ? result : set;
}

/** Whether the result's volumes are older than its edits or than the current removal setting. */
export function isUnmeasured(result: Result, set: Removal): boolean {
  return !removesAlike(result, removalOf(result, set)) || result.edit?.isMeasured === false;
}

/** The shown result with another threshold, without edits; it is measured and drawn with it at the next refresh. */
export function withThreshold(study: Study, threshold: number | null): Study {
  const change = (result: Result): Result => (result.id === study.shownResultId && result.threshold !== threshold ? { ...result, threshold, edit: null, saved: false } : result);
  return { ...study, results: study.results.map(change) };
}

export function shownStudy({ studies, shownId }: Studies): Study | null {
  return studies.find(({ source }) => source.id === shownId) ?? null;
}

export function shownResult(study: Study | null): Result | null {
  return study?.results.find(({ id }) => id === study.shownResultId) ?? null;
}

/** The request to measure or save this result. */
export function outcomeRequest({ facts }: Study, { labels, smallestMl, keepOutsideBrain, threshold, edit }: Pick<Result, 'labels' | 'smallestMl' | 'keepOutsideBrain' | 'threshold' | 'edit'>): OutcomeRequest {
  return { labels, grid: facts!.grid, smallestMl, keepOutsideBrain, threshold, edit: edit !== null && isEdited({ edit }) ? edit.delta : null };
}

/** The result's model; the second and later results of one model are numbered, and edited ones say so. */
export function resultName({ results }: Study, result: Result): Text {
  const { id, modelKey, spec } = result;
  const alike = results.filter((other) => other.modelKey === modelKey);
  const name = alike.length === 1 ? spec.name : say('results.run', { name: spec.name, n: alike.findIndex((other) => other.id === id) + 1 });
  return isEdited(result) ? say('results.edited', { name }) : name;
}

/** Volume of the model's first label that is shown at first, in mL. */
export function mainVolumeMl({ spec, outcome }: Result): number {
  const [main] = shownIndices(spec);
  return outcome.volumes.find(({ index }) => index === main)?.volumeMl ?? 0;
}

export function hasUnsaved({ results }: Study): boolean {
  return results.some(({ saved }) => !saved);
}

/** Notes on the scan, and on the run and the outcome of its shown result, each once. */
export function notesOf(study: Study): readonly Note[] {
  return notesOfResult(study, shownResult(study));
}

export function notesOfResult({ facts, source }: Study, result: Result | null): readonly Note[] {
  const all = [...conversionNotesOf(source.files[0]!), ...(facts?.summary.notes ?? []), ...(result?.report.notes ?? []), ...(result?.outcome.notes ?? [])];
  return all.filter(({ text }, n) => all.findIndex((other) => other.text === text) === n);
}

/** Scans with the same file name are distinguished by their folders; where these are unknown or equal by their frames, or by numbers. */
function withNames(studies: readonly Study[]): readonly Study[] {
  const isAlone = (names: readonly string[], name: string): boolean => names.filter((other) => other === name).length === 1;
  const longer = (names: readonly string[], detail: (study: Study, name: string) => string): string[] =>
    names.map((name, n) => (isAlone(names, name) ? name : detail(studies[n]!, name)));
  const names = studies.map(({ source }) => source.files[0]!.name);
  const withFolders = longer(names, ({ source }) => pathOf(source.files[0]!));
  const withFrames = longer(withFolders, ({ source: { frame } }, name) => (frame === null ? name : `${name} (frame ${frame})`));
  return studies.map((study, n) => {
    const alike = withFrames.slice(0, n + 1).filter((other) => other === withFrames[n]).length;
    const name = isAlone(withFrames, withFrames[n]!) ? withFrames[n]! : `${withFrames[n]!} (${alike})`;
    return name === study.name ? study : { ...study, name };
  });
}
