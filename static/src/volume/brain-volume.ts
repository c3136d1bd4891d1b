// Brain volume and the lesion's share of it, of a model with lesion and context labels. Twin of
// meshnet/infer/brain_volume.py.
import type { Label } from '../generated/model-spec';
import type { LabelVolume } from './prepare';

/** The brain is the lesion with its context: tissue, fluid and lesion together. */
export interface BrainVolume {
  readonly lesionMl: number;
  readonly brainVoxels: number;
  readonly brainMl: number;
  /** 0 … 100; 0 without a brain. */
  readonly lesionPercent: number;
}

/** Null for the labels of a model that has no lesion with context. */
export function brainVolume(labels: readonly Label[], volumes: readonly LabelVolume[]): BrainVolume | null {
  const of = (role: Label['role']): LabelVolume[] => volumes.filter(({ index }) => labels[index]?.role === role);
  const [lesion, context] = [of('lesion'), of('context')];
  if (lesion.length === 0 || context.length === 0) return null;
  const brain = [...lesion, ...context];
  const [lesionMl, brainMl] = [lesion, brain].map((some) => some.reduce((sum, { volumeMl }) => sum + volumeMl, 0)) as [number, number];
  return { lesionMl, brainVoxels: brain.reduce((sum, { voxels }) => sum + voxels, 0), brainMl, lesionPercent: percentOf(lesionMl, brainMl) };
}

/** A volume as percent of the brain; 0 without a brain. */
export function percentOf(volumeMl: number, brainMl: number): number {
  return brainMl > 0 ? (100 * volumeMl) / brainMl : 0;
}
