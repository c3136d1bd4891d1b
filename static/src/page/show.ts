// Renders the page's state.
import type { PageState } from './state';
import { allowsQueue, backendLine, canRun, dueStudies, isBusy, pickedModel, warnings } from './state';
import { showOffline } from './offline/status';
import { isActive } from './queue';
import { remembersSettings } from './remembered';
import { notesOf, shownResult, shownStudy } from './studies';
import { byId, byTestId } from './ui/dom';
import { showComparison } from './ui/comparison';
import { showConfidence } from './ui/confidence';
import { showMeshLabels } from './ui/mesh';
import { diagnosticsText } from './ui/diagnostics';
import { showEdit } from './ui/edit-panel';
import { showKeeping } from './ui/keeping';
import { showLayers } from './ui/layers';
import type { LayerActions } from './ui/layers';
import { showGallery, showPickedCard } from './ui/gallery';
import { showModelList, showPickedModel } from './ui/models';
import { showQuestion } from './ui/questions';
import type { Answers } from './ui/questions';
import { showQueue, showSegmentAll } from './ui/queue-panel';
import { showResults } from './ui/results';
import { showActivity, showBackend, showButtons, showNotes, showProgress, showScanFacts, showWarnings } from './ui/status';
import { showStudies } from './ui/study-list';
import type { StudyActions } from './ui/study-list';
import { showSummary, showSummaryButtons } from './ui/summary-dialog';
import { read } from './texts/language';
import type { Text } from './texts/message';

/** Actions of buttons that come and go with the state; those of index.html are connected in main.ts. */
export interface Actions extends Answers, StudyActions, LayerActions {
  /** Moves the crosshair to a voxel of the scan. */
  readonly goTo: (voxel: readonly [number, number, number]) => void;
  /** Takes a label of the shown result into the picture, or out of it. */
  readonly showLabel: (index: number, isVisible: boolean) => void;
  /** Picks a model of the list by its key. */
  readonly pick: (key: string) => void;
  /** Reloads the page into a newer version of the site. */
  readonly applyUpdate: () => void;
}

/** Shows `state` where it differs from `before`, the state shown so far. */
export function show(state: PageState, before: PageState, actions: Actions): void {
  // Another language: every text is written again.
  const isNewLanguage = state.language !== before.language;
  const changed = (...keys: readonly (keyof PageState)[]): boolean => isNewLanguage || keys.some((key) => state[key] !== before[key]);
  const { studies, queue, run, messages } = state;
  const study = shownStudy(state);
  // Its progress in the queue changes nothing of what is shown of the scan itself.
  const [facts, results, resultId] = [study?.facts, study?.results, study?.shownResultId];
  const past = shownStudy(before);
  const studyChanged = isNewLanguage || study?.source.id !== past?.source.id || facts !== past?.facts || results !== past?.results || resultId !== past?.shownResultId;
  if (changed('models')) {
    showModelList(state.models);
    showGallery(state.models.usable, actions.pick);
  }
  if (changed('models', 'pickedKey')) {
    showPickedModel(pickedModel(state));
    showPickedCard(state.pickedKey);
  }
  if (changed('studies', 'shownId')) showStudies(studies, state.shownId, actions);
  if (changed('studies')) {
    showSummaryButtons(studies);
    showSummary(studies);
  }
  if (studyChanged) {
    showScanFacts(study);
    showNotes(study === null ? [] : notesOf(study));
    showLayers(study, actions);
    showResults(study, actions, !isActive(queue)); // the list stays in view while a queue runs
    showConfidence(shownResult(study));
    showMeshLabels(shownResult(study));
  }
  if (studyChanged || changed('comparison')) {
    showComparison(study, state.comparison);
  }
  if (studyChanged || changed('editing', 'editSettings')) showEdit(shownResult(study), state.editing, state.editSettings);
  if (changed('activity')) showActivity(state.activity);
  if (changed('activity', 'shownId', 'models', 'pickedKey', 'queue')) showButtons(state.activity.kind === 'running', canRun(state));
  if (changed('activity', 'studies', 'pickedKey', 'queue', 'kiosk')) showSegmentAll(dueStudies(state), allowsQueue(state) ? studies.length : 0, !isBusy(state) && !isActive(queue));
  if (changed('studies', 'queue')) showQueue(studies, queue);
  if (changed('run') && run !== null) showProgress(run);
  if (studyChanged || changed('choice', 'pace', 'pickedKey', 'confidence') || run?.started !== before.run?.started) showBackend(backendLine(state));
  if (changed('question')) showQuestion(state.question, state.question !== before.question, allowsQueue(state) ? actions : { ...actions, answerAll: null, answerAllFrames: null });
  showWarnings(warnings(state));
  if (changed('messages')) showNoViewer(messages.noViewer);
  if (changed('keeping', 'studies')) showKeeping(state, remembersSettings());
  if (changed('offline') && state.offline !== null) showOffline(byTestId('offline', HTMLParagraphElement), state.offline, actions.applyUpdate);
  if (studyChanged || changed('version', 'choice', 'messages')) showDiagnostics(state);
}

/** In the place of the picture. */
function showNoViewer(text: Text | null): void {
  const box = byId('no-viewer', HTMLDivElement);
  box.textContent = text === null ? '' : read(text);
  box.hidden = text === null;
}

function showDiagnostics(state: PageState): void {
  const { version, choice, messages } = state;
  const study = shownStudy(state);
  const result = shownResult(study);
  byTestId('diagnostics', HTMLPreElement).textContent = diagnosticsText({
    version,
    browser: navigator.userAgent,
    isolated: self.crossOriginIsolated,
    threads: navigator.hardwareConcurrency,
    scan: study?.facts?.summary ?? null,
    notes: study === null ? [] : notesOf(study),
    spec: result?.spec ?? null,
    choice,
    report: result?.report ?? null,
    lastError: messages.lastError,
  });
}
