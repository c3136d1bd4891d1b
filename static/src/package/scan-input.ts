// The `scan` argument of `segment` → files with names.

/** A file in memory. The name's ending tells a .hdr from its .img; messages use the name. */
export interface NamedFile {
  readonly name: string;
  readonly bytes: Uint8Array<ArrayBuffer> | ArrayBuffer;
}

/** One file, or a .hdr with its .img. */
export type ScanInput = Blob | NamedFile | readonly (File | NamedFile)[];

export function filesOf(scan: ScanInput): readonly File[] {
  if (scan instanceof Blob) return [scan instanceof File ? scan : new File([scan], 'scan')];
  return 'bytes' in scan ? [asFile(scan)] : scan.map(asFile);
}

export function asFile(file: File | NamedFile): File {
  return file instanceof File ? file : new File([file.bytes], file.name);
}
