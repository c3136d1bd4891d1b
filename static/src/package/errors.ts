// The one error of the package. It is made of the errors of the rooms below, in place or sent by the worker.
import { FramesError } from '../volume/errors';
import { CallError } from '../worker/client';

/** A scan or model that cannot be used, or a run that failed. The message is a sentence for the user. */
export class SegmentError extends Error {
  override readonly name = 'SegmentError';

  constructor(
    message: string,
    /** Where the fault lies: the scan, the model, or (run) the engine, its memory or device. */
    readonly kind: 'scan' | 'model' | 'run',
    /** Number of volumes of a 4-D file of which `frame` must choose one; null for other errors. */
    readonly frames: number | null = null,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

const KIND_OF_NAME: Readonly<Record<string, SegmentError['kind']>> = {
  ScanError: 'scan', FramesError: 'scan', BundleError: 'model', TfjsImportError: 'model',
};

export function segmentError(error: unknown): SegmentError {
  if (error instanceof SegmentError) return error;
  if (error instanceof CallError) return new SegmentError(error.message, KIND_OF_NAME[error.failureName] ?? 'run', error.frames);
  const { name, message } = error instanceof Error ? error : new Error(String(error));
  return new SegmentError(message, KIND_OF_NAME[name] ?? 'run', error instanceof FramesError ? error.frames : null, { cause: error });
}
