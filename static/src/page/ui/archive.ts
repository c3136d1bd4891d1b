// Unpacks a dropped zip: a model, or scans as PACS, XNAT and browsers deliver them. By zip.js, maintained since 2010: it
// reads the zip's own list of files and checks sizes and CRCs. It is fetched only when a zip is dropped.
import { formatNumber, textOf, TextError } from '../texts/language';
import { say } from '../texts/message';
import { withPath } from './paths';

/** More than any study; a zip that unpacks to more is a mistake or a zip bomb. */
const MOST_BYTES = 4 * 2 ** 30;

/** Every file of the zip, its folders noted as the file's path; a zip inside only where there is nothing else. Throws an Error with
 * a sentence for the visitor. */
export async function unzipped(zip: File, mostBytes = MOST_BYTES): Promise<File[]> {
  const { BlobReader, BlobWriter, ZipReader } = await import('@zip.js/zip.js/lib/zip-core-native.js');
  const reader = new ZipReader(new BlobReader(zip), { useWebWorkers: false, checkSignature: true });
  try {
    const all = (await reader.getEntries()).filter((entry) => !entry.directory).filter(({ filename }) => !filename.startsWith('__MACOSX/'));
    const others = all.filter(({ filename }) => !/\.zip$/i.test(filename));
    const entries = others.length > 0 ? others : all;
    if (entries.length === 0) throw new TextError(say('open.zipEmpty'));
    if (entries.some(({ encrypted }) => encrypted)) throw new TextError(say('open.zipPassword'));
    const bytes = entries.reduce((sum, entry) => sum + entry.uncompressedSize, 0);
    if (bytes > mostBytes) throw new TextError(say('open.zipLarge', { size: () => formatNumber(bytes / 2 ** 30, { minimumFractionDigits: 1, maximumFractionDigits: 1 }), most: mostBytes / 2 ** 30 }));
    const files: File[] = [];
    for (const entry of entries) {
      const path = entry.filename.replaceAll('\\', '/');
      files.push(withPath(new File([await entry.getData(new BlobWriter())], path.split('/').at(-1)!), path));
    }
    return files;
  } catch (error) {
    throw new TextError(say('open.cannotUnpack', { name: zip.name, reason: textOf(error) }), { cause: error });
  } finally {
    await reader.close();
  }
}
