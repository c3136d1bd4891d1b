// A dropped zip as the files in it: a model, or scans the way PACS, XNAT and browsers hand them out.
import { Unzip, UnzipInflate } from 'fflate';

/** More than a study has; a zip that unpacks to more is a mistake or a bomb. */
const MOST_BYTES = 4 * 2 ** 30;

/** Every file of the zip, without its folders' names. Throws an Error with a sentence for the visitor. */
export async function unzipped(zip: File, mostBytes = MOST_BYTES): Promise<File[]> {
  const files: File[] = [];
  let bytes = 0;
  const unzip = new Unzip((entry) => {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    entry.ondata = (error, part, last) => {
      if (error !== null) throw error;
      bytes += part.length;
      if (bytes > mostBytes) throw new Error(`it unpacks to more than ${mostBytes / 2 ** 30} GiB`);
      parts.push(part);
      if (!last) return;
      const name = entry.name.split('/').at(-1)!;
      if (name !== '' && !entry.name.startsWith('__MACOSX/')) files.push(new File(parts, name));
    };
    entry.start();
  });
  unzip.register(UnzipInflate);
  try {
    const reader = zip.stream().getReader();
    for (;;) {
      const { done, value } = await reader.read();
      unzip.push(value ?? new Uint8Array(0), done);
      if (done) break;
    }
  } catch (error) {
    throw new Error(`${zip.name}: cannot unpack (${error instanceof Error ? error.message : String(error)}); if it opens on this computer, unpack it there and drop one scan or model of it`, { cause: error });
  }
  if (files.length === 0) throw new Error(`${zip.name}: no zip, or an empty one; zip the scan, or a model and its weights, again`);
  return files;
}
