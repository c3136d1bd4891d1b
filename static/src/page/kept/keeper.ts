// Writes the scans of the list to the private file system where they differ from what lies there, and reads them back. One exists while
// scans are kept; only one window of the browser has one (lock.ts).
import type { StoredLabels } from '../../worker/protocol';
import type { Study } from '../studies';
import { asKeptStudy, keptStudy, studyOf } from './kept-study';
import type { KeptStudy } from './kept-study';
import { keptNames, labelsFile, nextName, readFile, readPacked, removeEntry, scanFile, studyFile, writeFile, writePacked } from './storage';
import type { Folder } from './storage';

/** A scan as it lies in its folder. */
interface Written {
  readonly folder: string;
  readonly study: Study;
  readonly isShown: boolean;
  /** Files of the labels, by the result's id. */
  readonly labels: ReadonlyMap<number, string>;
  /** Of each file. */
  readonly bytes: ReadonlyMap<string, number>;
  /** Whether its files lie here alone: it was read from here. */
  readonly isRead: boolean;
}

export interface ReadBack {
  readonly studies: readonly Study[];
  readonly shownId: number | null;
  /** Reasons why scans could not be read; they stay where they are. */
  readonly faults: readonly string[];
}

export class Keeper {
  private readonly written = new Map<number, Written>();
  /** Folders that could not be read. */
  private readonly others = new Set<string>();

  constructor(private readonly kept: Folder) {}

  /** Reads the kept scans, their labels compressed; the scans' own files are only referred to. */
  async read(newId: () => number): Promise<ReadBack> {
    const studies: Study[] = [];
    const faults: string[] = [];
    let shownId: number | null = null;
    for (const name of await keptNames(this.kept)) {
      try {
        const { study, isShown } = await this.readOne(name, newId);
        studies.push(study);
        if (isShown) shownId = study.source.id;
      } catch (error) {
        this.others.add(name);
        faults.push(error instanceof Error ? error.message : String(error));
      }
    }
    return { studies, shownId: shownId ?? studies.at(-1)?.source.id ?? null, faults };
  }

  /** Whether the scan was read from here, so that its files are nowhere else for the page. */
  isRead(studyId: number): boolean {
    return this.written.get(studyId)?.isRead === true;
  }

  /** The results of each scan as they lie here, by the scan's id. */
  results(): Readonly<Record<number, Study['results']>> {
    return Object.fromEntries([...this.written].map(([id, { study }]) => [id, study.results]));
  }

  get bytes(): number {
    return [...this.written.values()].reduce((sum, { bytes }) => sum + sumOf(bytes), 0);
  }

  /** Deletes the scans that are not in this list. Returns whether there were any. */
  async removeOthers(studies: readonly Study[]): Promise<boolean> {
    const gone = [...this.written].filter(([id]) => !studies.some(({ source }) => source.id === id));
    for (const [id, { folder }] of gone) {
      await removeEntry(this.kept, folder);
      this.written.delete(id);
    }
    return gone.length > 0;
  }

  /** Writes the scan with its results where they differ from what lies here. The earlier files stay where that fails. */
  async write(study: Study, isShown: boolean): Promise<void> {
    const { id } = study.source;
    const before = this.written.get(id);
    if (before !== undefined && before.isShown === isShown && isSame(before.study, study)) return;
    const name = before?.folder ?? nextName([...this.others, ...[...this.written.values()].map(({ folder }) => folder)]);
    const folder = await this.kept.getDirectoryHandle(name, { create: true });
    try {
      this.written.set(id, await writeAll(folder, name, study, isShown, before));
    } catch (error) {
      if (before === undefined) await removeEntry(this.kept, name).catch(() => undefined);
      throw error;
    }
  }

  private async readOne(name: string, newId: () => number): Promise<{ readonly study: Study; readonly isShown: boolean }> {
    const folder = await this.kept.getDirectoryHandle(name);
    const bytes = new Map<string, number>();
    const read = async (file: string): Promise<unknown> => {
      const found = await readPacked(folder, file);
      bytes.set(file, found.bytes);
      return found.value;
    };
    const kept: KeptStudy = asKeptStudy(await read(studyFile));
    const contents = await Promise.all(kept.files.map((_, n) => readFile(folder, scanFile(n))));
    for (const [n, { size }] of contents.entries()) bytes.set(scanFile(n), size);
    const labels: StoredLabels[] = [];
    for (const result of kept.results) labels.push((await read(result.labels)) as StoredLabels);
    const study = studyOf(kept, contents, labels, newId);
    const files = new Map(study.results.map(({ id }, n) => [id, kept.results[n]!.labels]));
    this.written.set(study.source.id, { folder: name, study, isShown: kept.isShown, labels: files, bytes, isRead: true });
    return { study, isShown: kept.isShown };
  }
}

async function writeAll(folder: Folder, name: string, study: Study, isShown: boolean, before: Written | undefined): Promise<Written> {
  const bytes = new Map(before?.bytes);
  const labels = new Map(before?.labels);
  if (before === undefined) for (const [n, file] of study.source.files.entries()) bytes.set(scanFile(n), await writeFile(folder, scanFile(n), file));
  for (const result of study.results) {
    if (labels.has(result.id)) continue; // a result's labels never change
    const file = labelsFile(1 + Math.max(0, ...[...labels.values()].map((other) => Number(other.split('-')[1]))));
    bytes.set(file, await writePacked(folder, file, result.labels));
    labels.set(result.id, file);
  }
  bytes.set(studyFile, await writePacked(folder, studyFile, keptStudy(study, isShown, labels)));
  for (const [id, file] of labels) {
    if (study.results.some((result) => result.id === id)) continue;
    await removeEntry(folder, file);
    labels.delete(id);
    bytes.delete(file);
  }
  return { folder: name, study, isShown, labels, bytes, isRead: before?.isRead === true };
}

/** Whether all that is kept of the scan is the same; its name in the list and its part in the queue are not kept. */
function isSame(one: Study, other: Study): boolean {
  return one.results === other.results && one.facts === other.facts && one.shownResultId === other.shownResultId && one.source.frame === other.source.frame;
}

function sumOf(bytes: ReadonlyMap<string, number>): number {
  return [...bytes.values()].reduce((sum, one) => sum + one, 0);
}
