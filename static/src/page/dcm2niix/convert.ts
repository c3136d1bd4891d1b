// dcm2niix in a worker, which is ended after each conversion, so that nothing of a patient stays in it.

export interface Conversion {
  readonly exitCode: number;
  /** All that it printed: standard output, then standard error. */
  readonly output: string;
  readonly files: readonly File[];
}

/** NIfTI files of all series in these DICOM files. Throws an Error where the program cannot be started or runs out of memory. */
export async function runDcm2niix(files: readonly File[]): Promise<Conversion> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = ({ data }: MessageEvent<Conversion | { readonly error: string }>) => {
        if ('error' in data) reject(new Error(data.error));
        else resolve(data);
      };
      worker.onerror = ({ message }) => { reject(new Error(`dcm2niix does not start: ${message}`)); };
      worker.postMessage(files);
    });
  } finally {
    worker.terminate();
  }
}
