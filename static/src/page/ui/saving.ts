// Where a saved file goes: to the browser's downloads, or to a folder that the visitor chooses.

import { TextError } from '../texts/language';
import { say } from '../texts/message';
import type { Message } from '../texts/message';

/** Writes the content, under another name if one is given; returns its place as words ("among this browser's downloads") and
 * its name there. */
type Write = (content: Uint8Array | Blob, name?: string) => Promise<{ readonly place: Message; readonly name: string }>;

/** Asks for a place for a file of this name; returns the function that writes it there, or null where the visitor declined. */
export type Saver = (name: string) => Promise<Write | null>;

const TYPES = [['.nii.gz', 'application/gzip'], ['.csv', 'text/csv'], ['.zip', 'application/zip'], ['.dcm', 'application/dicom'], ['.html', 'text/html'], ['.json', 'application/json'], ['.stl', 'model/stl'], ['.obj', 'model/obj'], ['.glb', 'model/gltf-binary'], ['.mz3', 'application/octet-stream']] as const;

export const saveAsDownload: Saver = (asked) =>
  Promise.resolve((content, name = asked) => {
    const [, type] = TYPES.find(([ending]) => name.endsWith(ending))!;
    const url = URL.createObjectURL(new Blob([content as Blob | Uint8Array<ArrayBuffer>], { type }));
    const link = document.createElement('a');
    link.href = url;
    link.download = name;
    link.click();
    // The browser must have read the blob before its address is revoked; a minute is ample.
    setTimeout(() => { URL.revokeObjectURL(url); }, 60_000);
    return Promise.resolve({ place: say('save.downloads'), name });
  });

/** The file lies where the visitor chose (a memory stick) and in no list of downloads. */
export const saveInFolder: Saver = async (asked) => {
  // Some browsers lack it, although the types promise it.
  const pick = (window as { showDirectoryPicker?: (options: { mode: 'readwrite' }) => Promise<FileSystemDirectoryHandle> }).showDirectoryPicker;
  if (pick === undefined) throw new TextError(say('save.noPicker'));
  let folder: FileSystemDirectoryHandle;
  try {
    folder = await pick({ mode: 'readwrite' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return null;
    throw error;
  }
  return async (content, name = asked) => {
    const free = await freeName(folder, name);
    const file = await folder.getFileHandle(free, { create: true });
    const writable = await file.createWritable();
    await writable.write(content as Blob | Uint8Array<ArrayBuffer>);
    await writable.close();
    return { place: say('save.inFolder', { folder: folder.name }), name: free };
  };
};

/** The name, with a number added where the folder holds a file of that name: it may be another patient's. */
async function freeName(folder: FileSystemDirectoryHandle, name: string): Promise<string> {
  const [, stem, extension] = /^(.*?)(\.nii\.gz|\.[a-z0-9]+)$/.exec(name)!;
  for (let n = 1; ; n++) {
    const free = n === 1 ? name : `${stem!} (${n})${extension!}`;
    try {
      await folder.getFileHandle(free);
    } catch (error) {
      if (error instanceof DOMException && error.name === 'NotFoundError') return free;
      throw error;
    }
  }
}
