// Errors about a visitor's scan. A message names the file, the fault, the expected value and the next step.

/** A scan that cannot be used; the message is a sentence for the visitor. */
export class ScanError extends Error {
  override readonly name: string = 'ScanError';
}

/** A 4-D file of `frames` volumes, of which the visitor must choose one, counted from 0. */
export class FramesError extends ScanError {
  override readonly name = 'FramesError';

  constructor(
    message: string,
    readonly frames: number,
  ) {
    super(message);
  }
}
