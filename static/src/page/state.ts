// The page's state: plain data that the session (session.ts) changes and `show` (show.ts) renders. A state is never
// changed in place: a part that is the same object as before has not changed.
import type { ModelSpec } from '../generated/model-spec';
import type { ModelSource } from '../model/source';
import { guessModality } from '../volume/contrast';
import type { Note } from '../volume/notes';
import type { BackendChoice, Outcome, RunReport, ScanSummary } from '../worker/protocol';
import type { Progress } from '../engine/types';
import type { KioskSettings } from './kiosk/kiosk';
import type { ListedModel, ModelList } from './ui/models';
import type { Offer } from './ui/choices';
import { modalityWarning } from './ui/modality';

export interface PageState {
  /** Version of the software; empty until the list of models has arrived. */
  readonly version: string;
  /** Null on a page for one visitor. */
  readonly kiosk: KioskSettings | null;
  readonly models: ModelList;
  /** Key of the model picked from the list. */
  readonly pickedKey: string | null;
  /** The open scan with its result. */
  readonly study: Study | null;
  readonly activity: Activity;
  /** The run under way; null where none is. */
  readonly run: Run | null;
  /** The backend that will run or runs the model; null until the worker has probed. */
  readonly choice: BackendChoice | null;
  /** Whether the outcome shown is not yet the one asked for. */
  readonly outdated: boolean;
  readonly question: Question | null;
  readonly messages: Messages;
}

/** A scan and what was computed from it. */
export interface Study {
  readonly scan: ScanSummary;
  readonly result: Result | null;
}

export interface Result {
  readonly spec: ModelSpec;
  readonly report: RunReport;
  /** Of the model in the list that was run. */
  readonly modelKey: string;
  /** Measured and shown; null until then. */
  readonly outcome: Outcome | null;
  /** Components below this volume were removed from the outcome; null where none were. */
  readonly smallestMl: number | null;
}

export type ActivityKind = 'idle' | 'loading' | 'ready' | 'running' | 'done' | 'error';

export interface Activity {
  readonly kind: ActivityKind;
  /** The sentence in the status line. */
  readonly text: string;
}

export interface Run {
  /** Whether a backend has started; `PageState.choice` says which. */
  readonly started: boolean;
  readonly progress: Progress | null;
  /** Since the backend started. */
  readonly elapsedSeconds: number;
}

/** A question that the visitor has to answer before a file can be used. */
export type Question =
  | { readonly kind: 'frame'; readonly files: readonly File[]; readonly frames: number }
  | { readonly kind: 'series'; readonly offer: Offer }
  | { readonly kind: 'input'; readonly source: TfjsSource };

export type TfjsSource = Extract<ModelSource, { kind: 'tfjs' }>;

export interface Messages {
  /** Something that was refused or failed beside the work under way; until the visitor's next step. */
  readonly remark: string | null;
  /** The viewer could not draw this scan or result. */
  readonly viewerFault: string | null;
  /** Why there is no viewer at all. */
  readonly noViewer: string | null;
  /** For the diagnostics, without names of the visitor's files. */
  readonly lastError: string | null;
}

export const INITIAL_STATE: PageState = {
  version: '',
  kiosk: null,
  models: { usable: [], broken: [], placeholder: 'Loading the list of models…' },
  pickedKey: null,
  study: null,
  activity: { kind: 'idle', text: 'Open a scan to begin.' },
  run: null,
  choice: null,
  outdated: false,
  question: null,
  messages: { remark: null, viewerFault: null, noViewer: null, lastError: null },
};

export function isBusy({ activity }: PageState): boolean {
  return activity.kind === 'loading' || activity.kind === 'running';
}

/** Whether a reload would lose nothing of the visitor's. */
export function isEmpty(state: PageState): boolean {
  return state.study === null && !isBusy(state);
}

export function pickedModel({ models, pickedKey }: PageState): ListedModel | null {
  return models.usable.find(({ key }) => key === pickedKey) ?? null;
}

/** Whether Segment may be pressed. */
export function canRun(state: PageState): boolean {
  return state.study !== null && pickedModel(state) !== null && !isBusy(state);
}

/** The activity to return to after something that does not concern the scan. */
export function restingKind({ study }: PageState): ActivityKind {
  return study === null ? 'idle' : study.result === null ? 'ready' : 'done';
}

export interface BackendLine {
  readonly tense: 'Will run' | 'Runs' | 'Ran';
  readonly choice: BackendChoice;
}

/** The backend that ran, runs or will run the model. */
export function backendLine({ study, run, choice }: PageState): BackendLine | null {
  const report = study?.result?.report;
  if (report !== undefined) return { tense: 'Ran', choice: report };
  return choice === null ? null : { tense: run?.started === true ? 'Runs' : 'Will run', choice };
}

/** Notes on the scan, on the run and on the outcome, each once. */
export function notesOf({ scan, result }: Study): readonly Note[] {
  const all = [...scan.notes, ...(result?.report.notes ?? []), ...(result?.outcome?.notes ?? [])];
  return all.filter(({ text }, n) => all.findIndex((other) => other.text === text) === n);
}

/** Sentences to show beside the status, most urgent first. */
export function warnings(state: PageState): string[] {
  const { study, choice, messages } = state;
  const model = pickedModel(state);
  const result = study?.result ?? null;
  const contrast = study === null ? null : guessModality(study.scan.name, study.scan.description);
  const all = [
    messages.remark,
    model === null ? null : modalityWarning(contrast, model.name, model.modality),
    result === null || model === null || model.key === result.modelKey
      ? null
      : `The result below is still that of ${result.spec.name}; press Segment to run ${model.name}.`,
    choice?.backend === 'tfjs' && result === null ? 'TensorFlow.js is not kept for use without a network: the first run fetches it from the server.' : null,
    messages.viewerFault,
  ];
  return all.filter((warning) => warning !== null);
}
