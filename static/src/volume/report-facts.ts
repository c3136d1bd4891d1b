// The measured facts of a report. Twin of meshnet/infer/report/facts.py: the same keys and numbers.
import type { Label, ModelSpec } from '../generated/model-spec';
import type { Report } from '../generated/report';
import { voxelSizeMm } from './affine';
import { brainVolume, percentOf } from './brain-volume';
import type { BrainVolume } from './brain-volume';
import { chosenLabel } from './confidence';
import { contextIndices } from './label-roles';
import { findLesions, lesionLabels, midlineOf, placeOfLabel } from './lesions';
import type { Lesion, Place } from './lesions';
import { labelVolumes } from './prepare';
import type { Volume } from './volume';

type Described = Pick<ModelSpec, 'task' | 'labels'>;

/** All of a report but how the result was made. */
export type Measured = Omit<Report, 'format' | 'version' | 'made'>;

/** Bins of the histogram of probabilities, from 0 to 1. */
const BINS = 20;

/** Of labels on the scan's own grid. `probability`: of the lesion, 0 … 255 on the same grid; null without one. */
export function measuredFacts(spec: Described, native: Volume<Uint8Array>, probability: Uint8Array | null): Measured {
  const volumes = labelVolumes(native, 256);
  const brain = brainVolume(spec.labels, volumes);
  const midline = midlineOf(spec, native);
  const foreground = spec.labels.filter(({ index }) => index > 0);
  const context = contextIndices(spec);
  const shownFirst = [...foreground.filter(({ index }) => !context.includes(index)), ...foreground.filter(({ index }) => context.includes(index))];
  return {
    geometry: geometryOf(native),
    midline: { x_mm: midline.xMm, of_brain: midline.ofBrain },
    brain: brain === null ? null : { lesion_ml: brain.lesionMl, brain_ml: brain.brainMl, lesion_percent: brain.lesionPercent },
    labels: shownFirst.map((label) => {
      const { voxels, volumeMl } = volumes[label.index]!;
      return { ...extentOf(label, voxels, volumeMl, brain, placeOfLabel(native, label.index, midline.xMm)), index: label.index, name: label.name, color: label.color, kind: kindOf(spec, label) };
    }),
    lesions: findLesions(spec, native, probability, midline.xMm).map((lesion, n) => lesionFacts(spec, n + 1, lesion, brain)),
    histogram: histogramOf(spec, native.data, probability),
  };
}

/** Shape, voxel size and directions of a grid. */
export function geometryOf({ dims, affineVox2ras }: Pick<Volume, 'dims' | 'affineVox2ras'>): Report['geometry'] {
  const sizes = voxelSizeMm(affineVox2ras);
  const columns = sizes.map((size, axis) => [0, 1, 2].map((row) => affineVox2ras[4 * row + axis]! / size));
  const largest = columns.map((column) => column.reduce((most, part) => Math.max(most, Math.abs(part)), 0));
  const letters = columns.map((column, axis) => {
    const row = column.findIndex((part) => Math.abs(part) === largest[axis]);
    return ['LR', 'PA', 'IS'][row]![column[row]! > 0 ? 1 : 0]!;
  });
  return { shape: [...dims], voxel_size_mm: sizes, axes: letters.join(''), oblique_deg: (Math.acos(Math.min(1, ...largest)) * 180) / Math.PI };
}

type Extent = Pick<Report['labels'][number], 'voxels' | 'volume_ml' | 'longest_diameter_mm' | 'centre_ras_mm' | 'side' | 'percent_of_brain'>;

function extentOf(label: Label, voxels: number, volumeMl: number, brain: BrainVolume | null, place: Place | null): Extent {
  return {
    voxels,
    volume_ml: volumeMl,
    longest_diameter_mm: place?.longestDiameterMm ?? null,
    centre_ras_mm: place === null ? null : [...place.centreRasMm],
    side: place?.side ?? null,
    percent_of_brain: brain === null || label.role == null ? null : percentOf(volumeMl, brain.brainMl),
  };
}

function lesionFacts(spec: Described, number: number, lesion: Lesion, brain: BrainVolume | null): Report['lesions'][number] {
  const label = spec.labels[lesion.label]!;
  const mean_probability = lesion.label === chosenLabel(spec) ? lesion.meanProbability : null;
  return { ...extentOf(label, lesion.voxels, lesion.volumeMl, brain, lesion), number, name: label.name, mean_probability };
}

function kindOf(spec: Described, { index, role }: Label): Report['labels'][number]['kind'] {
  if (lesionLabels(spec).includes(index)) return 'lesion';
  return role === 'context' ? 'context' : 'other';
}

function histogramOf(spec: Described, labels: Uint8Array, probability: Uint8Array | null): Report['histogram'] {
  const chosen = chosenLabel(spec);
  if (probability === null || chosen === null) return null;
  const voxels = new Array<number>(BINS).fill(0);
  for (let n = 0; n < labels.length; n++) {
    if (labels[n] === chosen) voxels[Math.min(BINS - 1, Math.floor((probability[n]! * BINS) / 255))]!++;
  }
  return { name: spec.labels[chosen]!.name, voxels };
}
