// The kept scans in the browser's private file system (OPFS): the folder meshnet-kept with a folder for each scan. It holds the scan's
// files as they were (scan-0, …), the labels of each result (labels-N), and `study`, which names them and has all the rest. `study` is written
// last and replaced at once, so that a scan is never half there.
import { pack, unpack } from './pack';

const KEPT = 'meshnet-kept';
const STUDY = 'study';

export type Folder = FileSystemDirectoryHandle;

/** The folder of the kept scans; null where there is none and `create` is false. Rejects where the browser keeps nothing for this site. */
export async function openKept(create: boolean): Promise<Folder | null> {
  const root = await navigator.storage.getDirectory();
  try {
    return await root.getDirectoryHandle(KEPT, { create });
  } catch (error) {
    if (isNotFound(error)) return null;
    throw error;
  }
}

/** Deletes everything that this site has in the private file system. */
export async function clearStorage(): Promise<void> {
  const root = await navigator.storage.getDirectory();
  for await (const name of root.keys()) await root.removeEntry(name, { recursive: true });
}

/** Names of the folders of the kept scans, in the order in which they were listed. */
export async function keptNames(kept: Folder): Promise<string[]> {
  const names: string[] = [];
  for await (const name of kept.keys()) names.push(name);
  return names.sort();
}

/** Name of the folder of a scan that is listed after all those of `names`. */
export function nextName(names: Iterable<string>): string {
  const last = Math.max(0, ...[...names].map(Number).filter(Number.isFinite));
  return String(last + 1).padStart(9, '0');
}

export async function removeEntry(folder: Folder, name: string): Promise<void> {
  try {
    await folder.removeEntry(name, { recursive: true });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Writes a file; an existing one stays as it was until all is written. Returns its bytes. */
export async function writeFile(folder: Folder, name: string, content: Blob): Promise<number> {
  const handle = await folder.getFileHandle(name, { create: true });
  const writable = await handle.createWritable();
  try {
    await writable.write(content);
    await writable.close();
  } catch (error) {
    await writable.abort().catch(() => undefined);
    throw error;
  }
  return content.size;
}

export async function readFile(folder: Folder, name: string): Promise<File> {
  return (await folder.getFileHandle(name)).getFile();
}

export function writePacked(folder: Folder, name: string, value: unknown): Promise<number> {
  return writeFile(folder, name, pack(value));
}

export async function readPacked(folder: Folder, name: string): Promise<{ readonly value: unknown; readonly bytes: number }> {
  const bytes = new Uint8Array(await (await readFile(folder, name)).arrayBuffer());
  return { value: unpack(bytes), bytes: bytes.length };
}

export const studyFile = STUDY;
export const scanFile = (n: number): string => `scan-${n}`;
export const labelsFile = (n: number): string => `labels-${n}`;

function isNotFound(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'NotFoundError';
}
