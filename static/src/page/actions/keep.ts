// Keeping the scans of the list with their results in this browser, where the visitor wants it (../kept/). Every change of the list is
// written shortly after it was made; at the next visit the list is there again.
import { Keeper } from '../kept/keeper';
import { askToForget, forgetOnRequest, takeLock, waitForLock } from '../kept/lock';
import type { Release } from '../kept/lock';
import { keptCount, NOTHING_KEPT } from '../kept/state';
import type { Keeping } from '../kept/state';
import { clearStorage, openKept } from '../kept/storage';
import { isActive } from '../queue';
import type { Session } from '../session';
import { isBusy } from '../state';
import { shownResult, shownStudy, withKept, withoutStudy } from '../studies';
import type { Removal, Study } from '../studies';
import type { Cleaning } from '../types';
import { textOf } from '../texts/language';
import { say } from '../texts/message';
import type { Message, Text } from '../texts/message';
import { formatBytes } from '../ui/format';
import { refresh } from './look';

/** Changes within this time are written together. */
const DELAY_MS = 300;

const OTHER_WINDOW = say('keep.otherWindow');

export interface KeepingHooks {
  /** Puts a yes-or-no question to the visitor. */
  readonly ask: (question: Text) => boolean;
  /** Sets the fields of the page as they were for this result; returns the settings that they give. */
  readonly setCleaning: (removal: Removal) => Cleaning;
}

/** Keeping is under way. */
interface Work {
  readonly keeper: Keeper;
  readonly release: Release;
  readonly endRequests: () => void;
}

export class ScanKeeping {
  private work: Work | null = null;
  private timer: ReturnType<typeof setTimeout> | null = null;
  private writing: Promise<void> = Promise.resolve();
  /** Scans that could not be written, as they were then. */
  private readonly failed = new Map<number, Study>();

  constructor(
    private readonly session: Session,
    private readonly hooks: KeepingHooks,
  ) {}

  /** Lists the scans that an earlier visit kept. */
  async start(): Promise<void> {
    if (!(await isAnythingKept())) return;
    const release = await takeLock();
    if (release !== null) {
      await this.begin(release, false);
      return;
    }
    this.say({ problem: OTHER_WINDOW });
    void waitForLock().then((late) => this.begin(late, false));
  }

  /** The visitor's checkbox. */
  async turn(isOn: boolean): Promise<void> {
    if (isOn) await this.turnOn();
    else if (this.mayForget()) await this.stopAndClear();
    else this.say({}); // the checkbox goes back
  }

  /** Deletes the kept scans; false where the visitor, or another window, does not let it. */
  async forget(): Promise<boolean> {
    if (this.work !== null) {
      if (!this.mayForget()) return false;
      await this.stopAndClear();
      return true;
    }
    if (!(await isAnythingKept())) return true;
    const release = await takeLock();
    if (release === null) {
      const isForgotten = await askToForget();
      this.say({ problem: isForgotten ? null : say('keep.noAnswer') });
      return isForgotten;
    }
    await clearStorage();
    release();
    return true;
  }

  /** Takes changes of the list up. */
  stateChanged(): void {
    if (this.work === null || this.timer !== null) return;
    this.timer = setTimeout(() => {
      this.timer = null;
      this.writing = this.writing.then(() => this.writeDue());
    }, DELAY_MS);
  }

  /** Writes nothing any more; resolves once the file under way is closed. */
  async end(): Promise<void> {
    const work = await this.stop();
    work?.release();
  }

  /** As `end`, but no other window may keep yet. */
  private async stop(): Promise<Work | null> {
    const { work } = this;
    this.work = null;
    await this.writing;
    work?.endRequests();
    return work;
  }

  private async turnOn(): Promise<void> {
    const release = await takeLock();
    if (release === null) {
      this.say({ problem: OTHER_WINDOW });
      return;
    }
    await this.begin(release, true);
    // Chromium decides by itself; Firefox asks the visitor. Without it the browser may delete all of it when the disk is full.
    if (this.work !== null) await navigator.storage.persist().catch(() => false);
  }

  private async begin(release: Release, create: boolean): Promise<void> {
    try {
      const folder = await openKept(create);
      if (folder === null) {
        release();
        this.say(NOTHING_KEPT); // another window forgot all meanwhile
        return;
      }
      const keeper = new Keeper(folder);
      const { studies, shownId, faults } = await keeper.read(() => this.session.newId());
      this.work = { keeper, release, endRequests: forgetOnRequest(() => this.stopAndClear()) };
      this.session.keepPrivate(studies.flatMap(({ source }) => source.files));
      const isFirst = this.session.state.studies.length === 0;
      this.session.change({ ...withKept(this.session.state, studies, shownId), keeping: { isOn: true, kept: keeper.results(), bytes: keeper.bytes, unread: faults.length, problem: unreadText(faults) } });
      const shown = shownResult(shownStudy(this.session.state));
      if (isFirst && shown !== null) this.session.change({ cleaning: this.hooks.setCleaning(shown) });
      await refresh(this.session);
      this.stateChanged();
    } catch (error) {
      release();
      this.say({ isOn: false, problem: [isFull(error) ? await fullText() : say('keep.nothing', { reason: textOf(error) }), say('keep.untilClosed')] });
    }
  }

  private mayForget(): boolean {
    const { queue, keeping } = this.session.state;
    const count = keptCount(keeping);
    if (count === 0) return true;
    if (isBusy(this.session.state) || isActive(queue)) {
      this.session.say({ remark: say('keep.busy') });
      return false;
    }
    return this.hooks.ask(say('keep.question', { n: count }));
  }

  private async stopAndClear(): Promise<void> {
    const work = await this.stop();
    this.failed.clear();
    try {
      await clearStorage();
    } finally {
      work?.release(); // last: a window that waits for the right must not find what is about to be deleted
    }
    const gone = this.session.state.studies.filter(({ source }) => work?.keeper.isRead(source.id) === true);
    const left = gone.reduce((list, { source }) => withoutStudy(list, source.id), { studies: this.session.state.studies, shownId: this.session.state.shownId });
    this.session.change({ ...left, keeping: NOTHING_KEPT });
    await refresh(this.session);
  }

  private async writeDue(): Promise<void> {
    const keeper = this.work?.keeper;
    if (keeper === undefined) return;
    try {
      if (await keeper.removeOthers(this.session.state.studies)) this.failed.clear(); // there may be room again
    } catch (error) {
      this.say({ problem: say('keep.undeleted', { reason: textOf(error) }) });
    }
    for (const { source: { id } } of this.session.state.studies) {
      const study = this.session.state.studies.find(({ source }) => source.id === id);
      if (study === undefined || this.work?.keeper !== keeper) continue; // it left the list, or all is to be forgotten
      if (this.failed.get(id)?.results === study.results) continue;
      try {
        await keeper.write(study, this.session.state.shownId === id);
        this.failed.delete(id);
      } catch (error) {
        this.failed.set(id, study);
        this.say({ problem: await failureText(study, error) });
      }
    }
    if (this.work?.keeper !== keeper) return;
    this.publish(keeper);
  }

  /** Shows what lies in the storage, where that has changed. */
  private publish(keeper: Keeper): void {
    const { keeping } = this.session.state;
    const kept = keeper.results();
    const ids = Object.keys(kept).map(Number);
    const isSame = ids.length === Object.keys(keeping.kept).length && ids.every((id) => kept[id] === keeping.kept[id]) && keeping.bytes === keeper.bytes;
    const problem = this.failed.size === 0 && keeping.unread === 0 ? null : keeping.problem;
    if (!isSame || problem !== keeping.problem) this.say({ kept, bytes: keeper.bytes, problem });
  }

  private say(changes: Partial<Keeping>): void {
    this.session.change({ keeping: { ...this.session.state.keeping, ...changes } });
  }
}

/** Whether an earlier visit, or another window, keeps scans; false where the browser keeps nothing for this site. */
async function isAnythingKept(): Promise<boolean> {
  try {
    return (await openKept(false)) !== null;
  } catch {
    return false;
  }
}

function unreadText(faults: readonly string[]): Message | null {
  return faults.length === 0 ? null : say('keep.unread', { n: faults.length, reason: faults[0]! });
}

async function failureText({ name }: Study, error: unknown): Promise<Text> {
  if (!isFull(error)) return [say('keep.failed', { name, reason: textOf(error) }), say('keep.saveResults')];
  return [say('keep.noRoom', { name }), await fullText(), say('keep.saveResults'), say('keep.makeRoom')];
}

function isFull(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'QuotaExceededError';
}

async function fullText(): Promise<Message> {
  const { usage = 0, quota = 0 } = await navigator.storage.estimate();
  return say('keep.full', { used: () => formatBytes(usage), room: () => formatBytes(quota) });
}
