// Errors about a visitor's scan: the message says what, where, got, wanted and what to do next.

/** A scan that cannot be used as it is; the message is a sentence for the visitor. */
export class ScanError extends Error {
  override readonly name: string = 'ScanError';
}

/** A 4-D file: one of `frames` volumes has to be chosen, counted from 0. */
export class FramesError extends ScanError {
  override readonly name = 'FramesError';

  constructor(
    message: string,
    readonly frames: number,
  ) {
    super(message);
  }
}
