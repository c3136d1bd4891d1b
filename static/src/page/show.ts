// Renders the page's state.
import type { PageState } from './state';
import { backendLine, canRun, notesOf, pickedModel, warnings } from './state';
import { byId, byTestId } from './ui/dom';
import { diagnosticsText } from './ui/diagnostics';
import { showModelList, showPickedModel } from './ui/models';
import { showQuestion } from './ui/questions';
import type { Answers } from './ui/questions';
import { showResult } from './ui/results';
import { showActivity, showBackend, showButtons, showNotes, showProgress, showScanFacts, showWarnings } from './ui/status';

/** Actions of buttons that come and go with the state; those of index.html are connected in main.ts. */
export interface Actions extends Answers {
  /** Moves the crosshair to a voxel of the scan. */
  readonly goTo: (voxel: readonly [number, number, number]) => void;
}

/** Shows `state` where it differs from `before`, the state shown so far. */
export function show(state: PageState, before: PageState, actions: Actions): void {
  const changed = (...keys: readonly (keyof PageState)[]): boolean => keys.some((key) => state[key] !== before[key]);
  const { study, run, messages } = state;
  if (changed('models')) showModelList(state.models);
  if (changed('models', 'pickedKey')) showPickedModel(pickedModel(state));
  if (changed('study') && study !== null) showScanFacts(study.scan);
  if (changed('study')) showNotes(study === null ? [] : notesOf(study));
  if (changed('study')) showResult(study?.result ?? null, actions.goTo);
  if (changed('activity')) showActivity(state.activity);
  if (changed('activity', 'study', 'models', 'pickedKey')) showButtons(state.activity.kind === 'running', canRun(state));
  if (changed('run') && run !== null) showProgress(run);
  if (changed('study', 'choice') || run?.started !== before.run?.started) showBackend(backendLine(state));
  if (changed('question')) showQuestion(state.question, actions);
  showWarnings(warnings(state));
  if (changed('messages')) showNoViewer(messages.noViewer);
  if (changed('version', 'study', 'choice', 'messages')) showDiagnostics(state);
}

/** In the place of the picture. */
function showNoViewer(text: string | null): void {
  const box = byId('no-viewer', HTMLDivElement);
  box.textContent = text;
  box.hidden = text === null;
}

function showDiagnostics({ version, study, choice, messages }: PageState): void {
  byTestId('diagnostics', HTMLPreElement).textContent = diagnosticsText({
    version,
    browser: navigator.userAgent,
    isolated: self.crossOriginIsolated,
    threads: navigator.hardwareConcurrency,
    scan: study?.scan ?? null,
    notes: study === null ? [] : notesOf(study),
    spec: study?.result?.spec ?? null,
    choice,
    report: study?.result?.report ?? null,
    lastError: messages.lastError,
  });
}
