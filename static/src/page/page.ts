// What the page shows of a session: its state as a sentence, warnings, diagnostics, and the picture.
import type { BackendChoice, RunReport, ScanSummary } from '../worker/protocol';
import { messageOf } from '../engine/message';
import type { ModelSpec } from '../generated/model-spec';
import { byTestId } from './ui/dom';
import { diagnosticsText } from './ui/diagnostics';
import { guessModality, modalityWarning } from './ui/modality';
import type { ModelPicker } from './ui/model-picker';
import { MODEL_PART } from './ui/files';
import { showState, showWarnings } from './ui/status';
import type { State } from './ui/status';
import type { Viewer } from './viewer';

/** What a session holds. */
export interface Held {
  readonly scan: ScanSummary | null;
  readonly result: { readonly spec: ModelSpec; readonly report: RunReport; readonly key: string } | null;
  readonly choice: BackendChoice | null;
}

export class Page {
  version = '';
  /** For the diagnostics: without names of the visitor's files. */
  lastError: string | null = null;
  private readonly names = new Set<string>();
  private state: State = 'idle';
  private viewerFault: string | null = null;
  /** What was refused or failed beside the work under way; until the visitor's next step. */
  private aside: string | null = null;

  constructor(
    private readonly picker: ModelPicker,
    /** Null where the browser has no WebGL2: segmentation works without a picture. */
    private readonly viewer: Promise<Viewer | null>,
    private readonly held: () => Held,
  ) {}

  get isRunning(): boolean {
    return this.state === 'running';
  }

  get isBusy(): boolean {
    return this.state === 'loading' || this.state === 'running';
  }

  enter(state: State, text: string): void {
    this.state = state;
    showState(state, text, this.canRun());
    this.refresh();
  }

  /**
   * Files' names often identify patients and stay out of the diagnostics; not those of a model's parts, and none that is
   * too short to tell from other text.
   */
  keepPrivate(files: readonly File[]): void {
    for (const { name } of files) if (name.length > 3 && !MODEL_PART.test(name)) this.names.add(name);
  }

  /** Back to where the page was before something that is not about the scan. */
  settle(text: string): void {
    const { scan, result } = this.held();
    this.enter(result !== null ? 'done' : scan !== null ? 'ready' : 'idle', text);
  }

  /** Shows a failure as a sentence; whatever was loaded stays. */
  fail(error: unknown): void {
    const message = messageOf(error);
    const { scan } = this.held();
    this.lastError = [...this.names].reduce((text, name) => text.replaceAll(name, 'file'), message);
    const sentence = /[.!?]$/.test(message) ? message : `${message}.`;
    this.enter('error', sentence + (scan === null ? '' : ' The scan opened before is still here.'));
  }

  /** Beside the work under way, whose state stays. */
  remark(text: string): void {
    this.aside = text;
    this.refresh();
  }

  /** The remark goes with the next state. */
  forgetRemark(): void {
    this.aside = null;
  }

  /** A picture that cannot be drawn must not cost the result. */
  async draw(action: (viewer: Viewer) => void | Promise<void>): Promise<void> {
    const viewer = await this.viewer;
    if (viewer === null) return;
    this.viewerFault = null;
    try {
      await action(viewer);
    } catch (error) {
      this.viewerFault = `The viewer cannot show this (${messageOf(error)}); measuring and saving still work.`;
    }
    this.refresh();
  }

  refresh(): void {
    const { scan, result, choice } = this.held();
    byTestId('run', HTMLButtonElement).disabled = !this.canRun();
    const model = this.picker.picked;
    const guess = scan === null ? null : guessModality(scan.name, scan.description);
    const modality = model === null ? null : modalityWarning(guess, model.name, model.modality);
    const other =
      result === null || model === null || model.key === result.key
        ? null
        : `The result below is still that of ${result.spec.name}; press Segment to run ${model.name}.`;
    showWarnings([this.aside, modality, other, this.viewerFault].filter((warning) => warning !== null));
    byTestId('diagnostics', HTMLPreElement).textContent = diagnosticsText({
      version: this.version,
      browser: navigator.userAgent,
      isolated: self.crossOriginIsolated,
      threads: navigator.hardwareConcurrency,
      scan,
      spec: result?.spec ?? null,
      choice,
      report: result?.report ?? null,
      lastError: this.lastError,
    });
  }

  private canRun(): boolean {
    return this.held().scan !== null && this.picker.picked !== null && !this.isBusy;
  }
}
