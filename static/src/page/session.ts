// The page's one state and how it changes; the actions in actions/ say when. Every change is handed to `onChange`, which
// shows it (show.ts); nothing that is shown reaches back into the session.
import type { EditClient } from '../worker/edit-client';
import type { EngineClient } from '../worker/engine-client';
import type { BackendOptions } from '../worker/protocol';
import { inEnglish, read, textOf } from './texts/language';
import { say } from './texts/message';
import type { Text } from './texts/message';
import type { Editor } from './edit/editor';
import { isActive } from './queue';
import { shownResult, shownStudy } from './studies';
import { INITIAL_STATE, isBusy } from './state';
import type { ActivityKind, Messages, PageState } from './state';
import { MODEL_PART } from './ui/files';
import type { Viewer } from './picture/viewer';

/** The services that actions use. */
export interface Services {
  /** Runs the networks. */
  readonly client: EngineClient;
  /** Starts a second worker, which reads and measures while the first one works through a queue. */
  readonly newReader: () => EngineClient;
  /** Runs the editing tools that look at many voxels. */
  readonly tools: EditClient;
  readonly options: BackendOptions;
  /** Null where the browser has no WebGL2: segmentation works without a picture. */
  readonly viewer: Promise<Viewer | null>;
}

export class Session {
  private current = INITIAL_STATE;
  /** Names of the visitor's files: they often identify patients and stay out of the diagnostics. */
  private readonly privateNames = new Set<string>();
  private reader: EngineClient | null = null;
  private lastId = 0;
  /** The labels of `state.editing`; null where that is. */
  editor: Editor | null = null;
  /** Whether edits are being measured. */
  isMeasuring = false;

  constructor(
    readonly services: Services,
    private readonly onChange: (state: PageState) => void,
  ) {}

  get state(): PageState {
    return this.current;
  }

  /** For a scan or a result. */
  newId(): number {
    return ++this.lastId;
  }

  /** The worker that answers at once: during a queue the second one. */
  get idleClient(): EngineClient {
    if (!isActive(this.current.queue)) return this.services.client;
    return (this.reader ??= this.services.newReader());
  }

  /** Ends the second worker and its memory once the queue has ended and the worker is idle. */
  endReader(): void {
    if (isBusy(this.current) || isActive(this.current.queue)) return;
    this.reader?.end();
    this.reader = null;
  }

  change(changes: Partial<PageState>): void {
    const next = { ...this.current, ...changes };
    // The tools belong to the shown result and to no other.
    const isLeft = next.editing !== null && next.editing.resultId !== shownResult(shownStudy(next))?.id;
    this.current = isLeft ? { ...next, editing: null } : next;
    if (this.current.editing === null && this.editor !== null) {
      this.editor = null;
      this.services.tools.end();
    }
    this.onChange(this.current);
  }

  /** Starts an activity; a run ends with its activity. */
  enter(kind: ActivityKind, text: Text, changes: Partial<PageState> = {}): void {
    this.change({ run: null, ...changes, activity: { kind, text } });
  }

  say(messages: Partial<Messages>): void {
    this.change({ messages: { ...this.current.messages, ...messages } });
  }

  /** Shows a failure as a sentence; the list of scans stays. */
  fail(error: unknown): void {
    this.refuse(textOf(error));
  }

  refuse(reason: Text): void {
    const text = /[.!?]$/.test(read(reason)) ? reason : say('text.sentence', { text: reason });
    const lastError = [...this.privateNames].reduce((all, name) => all.replaceAll(name, 'file'), inEnglish(reason));
    this.enter('error', this.current.drawn.studyId === null ? [text] : [text, say('run.stillHere')], { messages: { ...this.current.messages, lastError } });
  }

  /** Keeps these names out of the diagnostics; not those of a model's parts, nor names too short to tell from other text. */
  keepPrivate(files: readonly File[]): void {
    for (const { name } of files) if (name.length > 3 && !MODEL_PART.test(name)) this.privateNames.add(name);
  }

  /** Draws with the viewer; a picture that cannot be drawn must not cost the result. */
  async draw(action: (viewer: Viewer) => void | Promise<void>): Promise<void> {
    const viewer = await this.services.viewer;
    if (viewer === null) return;
    try {
      await action(viewer);
      this.say({ viewerFault: null });
    } catch (error) {
      this.say({ viewerFault: say('viewer.fault', { reason: textOf(error) }) });
    }
  }
}
