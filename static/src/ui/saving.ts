// Where a saved file goes: to the browser's downloads, or to a folder that the visitor chooses.

/** Writes the bytes and says where they are now ("among this browser's downloads"). */
type Write = (bytes: Uint8Array) => Promise<string>;

/** Asks for a place for a file of this name; gives what writes it there, or null where the visitor changed their mind. */
export type Saver = (name: string) => Promise<Write | null>;

export const saveAsDownload: Saver = (name) =>
  Promise.resolve((bytes) => {
    const url = URL.createObjectURL(new Blob([bytes as Uint8Array<ArrayBuffer>], { type: name.endsWith('.csv') ? 'text/csv' : 'application/gzip' }));
    const link = document.createElement('a');
    link.href = url;
    link.download = name;
    link.click();
    // The browser has to take the blob before it goes; a minute is ample.
    setTimeout(() => { URL.revokeObjectURL(url); }, 60_000);
    return Promise.resolve('among this browser’s downloads');
  });

/** The file lies where the visitor chose (a memory stick) and in no list of downloads. */
export const saveInFolder: Saver = async (name) => {
  // Not every browser has it, whatever the types say.
  const pick = (window as { showDirectoryPicker?: (options: { mode: 'readwrite' }) => Promise<FileSystemDirectoryHandle> }).showDirectoryPicker;
  if (pick === undefined) throw new Error('This browser has no folder picker: nothing can be saved here. Chromium has one.');
  let folder: FileSystemDirectoryHandle;
  try {
    folder = await pick({ mode: 'readwrite' });
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') return null;
    throw error;
  }
  return async (bytes) => {
    const file = await folder.getFileHandle(name, { create: true });
    const writable = await file.createWritable();
    await writable.write(bytes as Uint8Array<ArrayBuffer>);
    await writable.close();
    return `in the folder ${folder.name}`;
  };
};
