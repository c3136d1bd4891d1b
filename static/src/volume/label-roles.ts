// Which labels of a model are the lesion, which are the brain around it, and which are shown and saved.
// Twin of meshnet/model/label_roles.py.
import type { Label, ModelSpec } from '../generated/model-spec';

type Described = Pick<ModelSpec, 'task' | 'labels'>;
interface WithRoles { readonly labels: readonly Pick<Label, 'index' | 'role'>[] }

/**
 * The labels that are a lesion; empty for a model of anything else. They have the role `lesion`. A model without roles
 * whose task names a lesion: its labels with that word in their name, else every label but background.
 */
export function lesionIndices({ task, labels }: Described): number[] {
  const withRole = labels.filter(({ role }) => role === 'lesion').map(({ index }) => index);
  if (labels.some(({ role }) => role != null) || !/lesion/i.test(task)) return withRole;
  const foreground = labels.filter(({ index }) => index > 0);
  const named = foreground.filter(({ name }) => /lesion/i.test(name));
  return (named.length > 0 ? named : foreground).map(({ index }) => index);
}

/** The labels with the role `context`: tissue and fluid of the brain, without the lesion. */
export function contextIndices({ labels }: WithRoles): number[] {
  return labels.filter(({ role }) => role === 'context').map(({ index }) => index);
}

/** Whether the model has both lesion and context labels, so that they show the brain around the lesion. */
export function showsBrain(spec: Described): boolean {
  return lesionIndices(spec).length > 0 && contextIndices(spec).length > 0;
}

/** The labels that are shown at first and saved by default: all but background and context. */
export function shownIndices({ labels }: WithRoles): number[] {
  return labels.filter(({ index, role }) => index > 0 && role !== 'context').map(({ index }) => index);
}

/** `labels` with every label that is not in `indices` set to background. */
export function only(labels: Uint8Array, indices: readonly number[]): Uint8Array {
  const kept = new Uint8Array(256);
  for (const index of indices) kept[index] = index;
  return labels.map((label) => kept[label]!);
}

/** The labels that are written to a file: without the context, unless `allLabels` is set. */
export function savedLabels(labels: Uint8Array, spec: Pick<Described, 'labels'>, allLabels: boolean): Uint8Array {
  return allLabels || contextIndices(spec).length === 0 ? labels : only(labels, shownIndices(spec));
}
