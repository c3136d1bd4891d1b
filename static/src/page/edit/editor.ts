// The labels that are being edited, on the scan's own grid. One exists while the tools are open.
import { applyDelta, deltaBetween, revertDelta } from '../../volume/label-delta';
import type { LabelDelta } from '../../volume/label-delta';
import type { Axis, Grid } from '../../volume/brush';
import type { Dims } from '../../volume/volume';

/** A stroke under way: its last point, and the slice that it is drawn in. */
export interface Stroke {
  readonly name: 'pen' | 'eraser';
  readonly last: Dims;
  readonly sliceAxis: Axis;
}

export class Editor {
  /** As they are in the picture. */
  readonly labels: Uint8Array;
  /** The labels after the last step. */
  private readonly settled: Uint8Array;
  stroke: Stroke | null = null;
  /** Whether a tool is at work on these labels in its worker. */
  isAtWork = false;
  /** Across the slices of the last stroke, between which gaps are filled. */
  fillAxis: Axis = 2;

  /** `base`: the result's own labels. `under`: the labels that appear where a label is erased. `edit`: the edits so far. */
  constructor(
    readonly grid: Grid,
    readonly base: Uint8Array,
    private readonly under: Uint8Array,
    edit: LabelDelta | null,
  ) {
    this.labels = base.slice();
    if (edit !== null) applyDelta(this.labels, edit);
    this.settled = this.labels.slice();
  }

  paint(voxels: ArrayLike<number>, label: number): void {
    for (let n = 0; n < voxels.length; n++) this.labels[voxels[n]!] = label;
  }

  /** Removes the label from these voxels; other labels stay. */
  erase(voxels: ArrayLike<number>, label: number): void {
    for (let n = 0; n < voxels.length; n++) {
      const voxel = voxels[n]!;
      if (this.labels[voxel] === label) this.labels[voxel] = this.under[voxel] === label ? 0 : this.under[voxel]!;
    }
  }

  /** Ends a step; its difference to the step before. */
  settle(): LabelDelta {
    const delta = deltaBetween(this.settled, this.labels);
    applyDelta(this.settled, delta);
    return delta;
  }

  /** Discards all changes since the last step. */
  abandon(): void {
    this.stroke = null;
    this.labels.set(this.settled);
  }

  apply(delta: LabelDelta): void {
    for (const labels of [this.labels, this.settled]) applyDelta(labels, delta);
  }

  revert(delta: LabelDelta): void {
    for (const labels of [this.labels, this.settled]) revertDelta(labels, delta);
  }

  /** Difference to the result's own labels. */
  difference(): LabelDelta {
    return deltaBetween(this.base, this.labels);
  }
}
