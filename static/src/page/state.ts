// The page's state: plain data that the session (session.ts) changes and `show` (show.ts) renders. A state is never
// changed in place: a part that is the same object as before has not changed.
import type { ModelSource } from '../model/source';
import { guessModality } from '../volume/contrast';
import type { BackendChoice, ConfidenceOptions } from '../worker/protocol';
import { isKept, NOTHING_KEPT } from './kept/state';
import type { Keeping } from './kept/state';
import type { KioskSettings } from './kiosk/kiosk';
import type { OfflineState } from './offline/register';
import { dueIds, isActive } from './queue';
import type { Queue } from './queue';
import { isEdited } from './edit/history';
import { FIRST_SETTINGS } from './edit/settings';
import type { Editing, EditSettings } from './edit/settings';
import { hasUnsaved, removalOf, removesAlike, shownResult, shownStudy } from './studies';
import type { Result, Studies } from './studies';
import type { ListedModel, ModelList } from './ui/models';
import type { Offer } from './ui/choices';
import { modalityWarning } from './ui/modality';
import type { Language } from './texts/language';
import { say } from './texts/message';
import type { Text } from './texts/message';
import type { Cleaning, Compared, ConfidenceSettings, Run } from './types';

export interface PageState extends Studies {
  /** Language of the texts. */
  readonly language: Language;
  /** Version of the software; empty until the list of models has arrived. */
  readonly version: string;
  /** Origins besides the page's own that links may fetch scans from. */
  readonly scanOrigins: readonly string[];
  /** Null on a page for one visitor. */
  readonly kiosk: KioskSettings | null;
  readonly models: ModelList;
  /** Key of the model picked from the list. */
  readonly pickedKey: string | null;
  /** The scan and the result in the picture. */
  readonly drawn: Drawn;
  readonly cleaning: Cleaning;
  readonly confidence: ConfidenceSettings;
  /** The comparison that the picture shows instead of the result's labels; null where there is none. */
  readonly comparison: Compared | null;
  readonly editSettings: EditSettings;
  /** The editing of the shown result, whose labels are in the picture; null while the tools are closed. */
  readonly editing: Editing | null;
  /** Null before the first one. */
  readonly queue: Queue | null;
  readonly activity: Activity;
  /** The run under way; null where none is. */
  readonly run: Run | null;
  /** The backend that will run or runs the model; null until the worker has probed. */
  readonly choice: BackendChoice | null;
  /** Seconds that a run takes here, by the model's key. */
  readonly pace: Readonly<Record<string, number>>;
  readonly question: Question | null;
  readonly messages: Messages;
  /** Scans and results in the browser's storage. */
  readonly keeping: Keeping;
  /** Whether the site works without a network; null until that is known. */
  readonly offline: OfflineState | null;
}

/** The scan and layers in the picture; ids are null where nothing is drawn. */
export interface Drawn {
  readonly studyId: number | null;
  readonly resultId: number | null;
  readonly smallestMl: number | null;
  readonly keepOutsideBrain: boolean;
  readonly threshold: number | null;
  /** Whether the probability lies over the labels. */
  readonly probability: boolean;
}

export const NOTHING_DRAWN: Drawn = { studyId: null, resultId: null, smallestMl: null, keepOutsideBrain: false, threshold: null, probability: false };

export type ActivityKind = 'idle' | 'loading' | 'ready' | 'running' | 'done' | 'error';

export interface Activity {
  readonly kind: ActivityKind;
  /** The sentence in the status line. */
  readonly text: Text;
}

/** A question that the visitor has to answer before a file can be used. */
export type Question =
  /** `studyId`: the listed scan that this is about; null for one that is not listed yet. */
  | { readonly kind: 'frame'; readonly files: readonly File[]; readonly frames: number; readonly studyId: number | null }
  | { readonly kind: 'series'; readonly offer: Offer }
  | { readonly kind: 'input'; readonly source: TfjsSource };

export type TfjsSource = Extract<ModelSource, { kind: 'tfjs' }>;

export interface Messages {
  /** A refusal or failure outside the work under way; shown until the visitor's next step. */
  readonly remark: Text | null;
  /** The viewer could not draw this scan or result. */
  readonly viewerFault: Text | null;
  /** Why there is no viewer at all. */
  readonly noViewer: Text | null;
  /** For the diagnostics, without names of the visitor's files. */
  readonly lastError: string | null;
}

export const INITIAL_STATE: PageState = {
  language: 'en',
  version: '',
  scanOrigins: [],
  kiosk: null,
  models: { usable: [], broken: [], placeholder: say('model.loading') },
  pickedKey: null,
  studies: [],
  shownId: null,
  drawn: NOTHING_DRAWN,
  cleaning: { smallestMl: null, keepOutsideBrain: false, allLabels: false, problem: null },
  confidence: { mirror: false, probability: false },
  comparison: null,
  editSettings: FIRST_SETTINGS,
  editing: null,
  queue: null,
  activity: { kind: 'idle', text: say('run.idle') },
  run: null,
  choice: null,
  pace: {},
  question: null,
  messages: { remark: null, viewerFault: null, noViewer: null, lastError: null },
  keeping: NOTHING_KEPT,
  offline: null,
};

/** Whether something is under way beside the queue. */
export function isBusy({ activity }: PageState): boolean {
  return activity.kind === 'loading' || activity.kind === 'running';
}

/** Whether a reload would lose nothing of the visitor's. */
export function isEmpty(state: PageState): boolean {
  return state.studies.length === 0 && !isBusy(state);
}

/** Whether a reload would lose results that were neither saved nor kept, or work under way. */
export function wouldLose(state: PageState): boolean {
  return state.studies.some((study) => hasUnsaved(study) && !isKept(state.keeping, study)) || isActive(state.queue) || state.activity.kind === 'running';
}

/** Whether scans and results may be kept in the browser; a kiosk has to switch that on. */
export function allowsKeeping({ kiosk }: PageState): boolean {
  return kiosk === null || kiosk.keep === 'on';
}

/** Whether several scans may be listed and segmented in one go; a kiosk may switch that off. */
export function allowsQueue({ kiosk }: PageState): boolean {
  return kiosk?.queue !== 'off';
}

export function pickedModel({ models, pickedKey }: PageState): ListedModel | null {
  return models.usable.find(({ key }) => key === pickedKey) ?? null;
}

/** Whether Segment may be pressed. */
export function canRun(state: PageState): boolean {
  return shownStudy(state) !== null && pickedModel(state) !== null && !isBusy(state) && !isActive(state.queue);
}

/** Scans that Segment all would run. */
export function dueStudies(state: PageState): number {
  const model = pickedModel(state);
  return model === null || !allowsQueue(state) ? 0 : dueIds(state.studies, model.key).length;
}

/** Whether picture or table lag behind the state. */
export function isOutdated(state: PageState): boolean {
  const { drawn, shownId, cleaning } = state;
  const study = shownStudy(state);
  const result = shownResult(study);
  if (drawn.studyId !== shownId || drawn.resultId !== (result?.id ?? null)) return true;
  if (result === null) return false;
  const wanted = removalOf(result, cleaning);
  const isMeasured = removesAlike(drawn, wanted) && removesAlike(result, wanted) && drawn.threshold === result.threshold;
  return !isMeasured || drawn.probability !== drawsProbability(state, result);
}

/** Whether the probability of this result is to lie over its labels. */
export function drawsProbability({ confidence }: PageState, { labels }: Result): boolean {
  return confidence.probability && labels.confidence !== null;
}

/** How the next run uses probabilities; a kiosk may switch all of it off. */
export function confidenceOptions({ confidence, kiosk }: PageState): ConfidenceOptions {
  const isOn = kiosk?.confidence !== 'off';
  return { keep: isOn, mirror: isOn && confidence.mirror };
}

/** The activity to return to after an action that leaves the scan unchanged. */
export function restingKind(state: PageState): ActivityKind {
  const study = shownStudy(state);
  return study === null ? 'idle' : study.results.length === 0 ? 'ready' : 'done';
}

export interface BackendLine {
  readonly tense: 'will' | 'runs' | 'ran';
  readonly choice: BackendChoice;
  /** How long a run will take; null where that is not known or it has begun. */
  readonly seconds: number | null;
}

/** The backend that runs the model, ran it for the shown result, or will run it. */
export function backendLine(state: PageState): BackendLine | null {
  const { run, choice } = state;
  const report = shownResult(shownStudy(state))?.report;
  if (run?.started === true && choice !== null) return { tense: 'runs', choice, seconds: null };
  if (report !== undefined) return { tense: 'ran', choice: report, seconds: null };
  const pace = state.pace[state.pickedKey ?? ''];
  const runs = confidenceOptions(state).mirror ? 2 : 1;
  return choice === null ? null : { tense: 'will', choice, seconds: pace === undefined ? null : pace * runs };
}

/** Closes the tools; the next refresh draws the labels as a layer again. */
export function withoutEditing({ editing, drawn }: PageState): Partial<PageState> {
  return editing === null ? {} : { editing: null, drawn: { ...NOTHING_DRAWN, studyId: drawn.studyId } };
}

/** Whether results may be edited by hand; a kiosk may switch that off. */
export function allowsEditing({ kiosk, messages }: PageState): boolean {
  return kiosk?.edit !== 'off' && messages.noViewer === null;
}

/** Sentences to show beside the status, most urgent first. */
export function warnings(state: PageState): Text[] {
  const { choice, messages, cleaning } = state;
  const model = pickedModel(state);
  const study = shownStudy(state);
  const result = shownResult(study);
  const contrast = study?.facts == null ? null : guessModality(study.facts.summary.name, study.facts.summary.description);
  const all = [
    messages.remark,
    model === null ? null : modalityWarning(contrast, model.name, model.modality),
    result === null || model === null || model.key === result.modelKey
      ? null
      : say('results.other', { old: result.spec.name, model: model.name }),
    result === null ? null : cleaning.problem,
    result === null || !isEdited(result) || removesAlike(result, cleaning)
      ? null
      : say('results.editedStays'),
    choice?.backend === 'tfjs' && result === null ? say('backend.tfjsNotKept') : null,
    messages.viewerFault,
  ];
  return all.filter((warning) => warning !== null);
}
