// The edits of one result: plain data and pure functions. Every step is kept as the difference that it made, so that it can be
// undone and made again; steps that are too old or too large together can no longer be undone.
import { deltaBytes, isEmptyDelta, NO_DELTA } from '../../volume/label-delta';
import type { LabelDelta } from '../../volume/label-delta';

/** Steps that can be undone. */
export const MOST_STEPS = 50;

/** Of the steps of one result together. */
export const MOST_BYTES = 32 * 2 ** 20;

/** Names of the tools as the JSON beside a result has them; `revert` undoes all edits before it. */
export type EditName = 'pen' | 'eraser' | 'grow' | 'delete piece' | 'keep piece' | 'fill between slices' | 'smooth' | 'revert';

export interface EditStep {
  readonly name: EditName;
  readonly delta: LabelDelta;
}

export interface Edit {
  /** From the result's own labels on the scan's grid to the edited ones. */
  readonly delta: LabelDelta;
  /** Steps that can be undone, oldest first. */
  readonly done: readonly EditStep[];
  /** Steps that were undone, the latest first. */
  readonly undone: readonly EditStep[];
  /** Names of the steps that can no longer be undone. */
  readonly settled: readonly EditName[];
  /** Whether the volumes in the table are those of these edits. */
  readonly isMeasured: boolean;
}

const NO_EDIT: Edit = { delta: NO_DELTA, done: [], undone: [], settled: [], isMeasured: true };

/** Whether these labels differ from the model's. */
export function isEdited(result: { readonly edit: Pick<Edit, 'delta'> | null }): boolean {
  return result.edit !== null && !isEmptyDelta(result.edit.delta);
}

/** The edit with a further step; `delta` is the difference to the result's own labels after it. */
export function withStep(edit: Edit | null, step: EditStep, delta: LabelDelta): Edit {
  const { done, settled } = edit ?? NO_EDIT;
  const all = [...done, step];
  let bytes = 0;
  const kept = all.findLastIndex((one, n) => {
    bytes += deltaBytes(one.delta);
    return all.length - n > MOST_STEPS || (bytes > MOST_BYTES && n < all.length - 1);
  });
  return { delta, done: all.slice(kept + 1), undone: [], settled: [...settled, ...all.slice(0, kept + 1).map(({ name }) => name)], isMeasured: false };
}

/** The edit without its last step, where there is one; the step is reverted by the caller. */
export function undoneStep(edit: Edit, delta: LabelDelta): Edit {
  return { ...edit, delta, done: edit.done.slice(0, -1), undone: [edit.done.at(-1)!, ...edit.undone], isMeasured: false };
}

/** The edit with the step that was undone last; the step is applied by the caller. */
export function redoneStep(edit: Edit, delta: LabelDelta): Edit {
  return { ...edit, delta, done: [...edit.done, edit.undone[0]!], undone: edit.undone.slice(1), isMeasured: false };
}

/** The step that reverts all edits; it can be undone like any other. */
export function revertStep({ delta }: Edit): EditStep {
  return { name: 'revert', delta: { ...delta, before: delta.after, after: delta.before } };
}

/** Names of the tools that made these labels, in order, each once where it was used several times in a row; empty where no edit is left. */
export function toolNames(result: { readonly edit: Edit | null }): readonly EditName[] {
  if (result.edit === null || !isEdited(result)) return [];
  const all = [...result.edit.settled, ...result.edit.done.map(({ name }) => name)];
  const since = all.slice(all.lastIndexOf('revert') + 1);
  return since.filter((name, n) => name !== since[n - 1]);
}
