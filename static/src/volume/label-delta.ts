// The difference between two label volumes of one grid as runs of voxels: small for edits by hand, and applied in both
// directions, so that a step can be undone.

export interface LabelDelta {
  /** First voxel of each run, ascending; runs don't cross. */
  readonly starts: Uint32Array;
  /** Voxels of each run. */
  readonly lengths: Uint32Array;
  /** Label of each run before the change. */
  readonly before: Uint8Array;
  /** Label of each run after the change. */
  readonly after: Uint8Array;
}

export const NO_DELTA: LabelDelta = { starts: new Uint32Array(0), lengths: new Uint32Array(0), before: new Uint8Array(0), after: new Uint8Array(0) };

/** Runs of consecutive voxels that changed from one label to one other. Both volumes have the same length. */
export function deltaBetween(before: Uint8Array, after: Uint8Array): LabelDelta {
  const [starts, lengths, labelsBefore, labelsAfter]: [number[], number[], number[], number[]] = [[], [], [], []];
  let n = 0;
  while (n < after.length) {
    const [from, to] = [before[n]!, after[n]!];
    if (from === to) {
      n++;
      continue;
    }
    const start = n;
    while (n < after.length && before[n] === from && after[n] === to) n++;
    starts.push(start);
    lengths.push(n - start);
    labelsBefore.push(from);
    labelsAfter.push(to);
  }
  return { starts: Uint32Array.from(starts), lengths: Uint32Array.from(lengths), before: Uint8Array.from(labelsBefore), after: Uint8Array.from(labelsAfter) };
}

export function isEmptyDelta({ starts }: LabelDelta): boolean {
  return starts.length === 0;
}

/** Bytes that the delta takes in memory. */
export function deltaBytes({ starts, lengths, before, after }: LabelDelta): number {
  return starts.byteLength + lengths.byteLength + before.byteLength + after.byteLength;
}

/** Writes the labels after the change into `labels`. */
export function applyDelta(labels: Uint8Array, delta: LabelDelta): void {
  writeRuns(labels, delta, delta.after);
}

/** Writes the labels before the change into `labels`. */
export function revertDelta(labels: Uint8Array, delta: LabelDelta): void {
  writeRuns(labels, delta, delta.before);
}

/** Indices of the voxels that changed, ascending. */
export function deltaVoxels({ starts, lengths }: LabelDelta): Uint32Array {
  const voxels = new Uint32Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (let run = 0; run < starts.length; run++) for (let n = 0; n < lengths[run]!; n++) voxels[at++] = starts[run]! + n;
  return voxels;
}

function writeRuns(labels: Uint8Array, { starts, lengths }: LabelDelta, values: Uint8Array): void {
  for (let run = 0; run < starts.length; run++) labels.fill(values[run]!, starts[run], starts[run]! + lengths[run]!);
}
