// A zip that is written file by file. Masks are compressed already, so that they are stored as they are.
import { Zip, ZipDeflate, ZipPassThrough } from 'fflate';

export class ZipWriter {
  private readonly pieces: Uint8Array<ArrayBuffer>[] = [];
  private readonly names = new Set<string>();
  private readonly zip = new Zip((error, piece) => {
    if (error) throw error;
    this.pieces.push(piece);
  });

  /** The name under which a file called `path` can be added: no folder above the zip's own, and not taken yet. */
  freeName(path: string): string {
    const safe = path.split('/').filter((part) => part !== '' && part !== '.' && part !== '..').join('/');
    const [, stem, ending] = /^(.*?)((?:\.nii)?\.[^./]*)$/.exec(safe) ?? [null, safe, ''];
    for (let n = 1; ; n++) {
      const name = n === 1 ? safe : `${stem}_${n}${ending}`;
      if (!this.names.has(name)) return name;
    }
  }

  add(name: string, content: Uint8Array): void {
    this.names.add(name);
    const file = /\.(gz|zip)$/.test(name) ? new ZipPassThrough(name) : new ZipDeflate(name);
    this.zip.add(file);
    file.push(content, true);
  }

  finish(): Blob {
    this.zip.end();
    return new Blob(this.pieces, { type: 'application/zip' });
  }
}
