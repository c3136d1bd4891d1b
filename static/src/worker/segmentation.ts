// The steps from a read scan and a model to measured labels. The page's worker and the npm package (package/) share them.
import { voxelSizeMm } from '../volume/affine';
import { removeSmallComponents } from '../volume/clean';
import { conform, type Conformed } from '../volume/conform';
import { voxelVolumeMl } from '../volume/native';
import type { Scan } from '../volume/nifti';
import type { Note } from '../volume/notes';
import { fromNetworkLabels, labelVolumes, toNative, toNetworkInput, type LabelVolume, type Prepared } from '../volume/prepare';
import { contrastNotes, resultNotes } from '../volume/run-notes';
import type { Volume } from '../volume/volume';
import type { ModelSpec } from '../generated/model-spec';
import { noExperience, probeAll, rankBackends, segment, type Experience, type SegmentResult } from '../engine/choose';
import type { BackendModule, RunOptions } from '../engine/types';
import type { LoadedModel } from '../model/bundle';
import type { BackendChoice, BackendOptions } from './protocol';

/** The network's labels on the conformed grid, before any cleaning, the number of classes, and the model's task. */
export interface Labels {
  readonly conformed: Volume<Uint8Array>;
  readonly classes: number;
  readonly task: string;
}

export interface Segmentation {
  readonly labels: Labels;
  readonly run: SegmentResult;
  /** On the contrast, and on the scan on the model's own grid. */
  readonly notes: readonly Note[];
}

/** Labels as they are shown and saved, with their volumes. */
export interface Measured {
  readonly conformed: Volume<Uint8Array>;
  /** On the scan's own grid. */
  readonly native: Volume<Uint8Array>;
  /** Of every class, on the scan's own grid. */
  readonly volumes: readonly LabelVolume[];
  /** Volume of the removed small components, on the conformed grid. */
  readonly removedMl: number;
  /** Results that can't be right. */
  readonly notes: readonly Note[];
}

/**
 * Runs the model on the scan with the best of `engines`. Rejects with an Error where none can run, and with the signal's
 * reason where it is aborted.
 */
export async function segmentScan(
  prepared: Prepared,
  { spec, graph }: LoadedModel,
  engines: readonly BackendModule[],
  options: BackendOptions,
  { signal, onProgress }: Pick<RunOptions, 'signal' | 'onProgress'>,
  onBackend: (chosen: BackendChoice) => void,
): Promise<Segmentation> {
  const conformed = conformedFor(prepared, spec);
  const input = { data: toNetworkInput(conformed, spec), dims: spec.input.size };
  const choice = rankBackends(await probeAll(engines), options.forced);
  const runOptions: RunOptions = {
    ...(signal === undefined ? {} : { signal }),
    ...(onProgress === undefined ? {} : { onProgress }),
    ...(options.maxBufferBytes === null ? {} : { maxBufferBytes: options.maxBufferBytes }),
  };
  const run = await segment(graph, input, choice, runOptions, onBackend, experienceOf(spec.weights.sha256));
  return {
    labels: { conformed: fromNetworkLabels(run.labels, conformed, spec), classes: graph.classes, task: spec.task },
    run,
    notes: [...contrastNotes(prepared.scan.name, headerText(prepared.scan), spec.modality), ...conformed.notes],
  };
}

/** Labels without components below `smallestMl` (null: all stay), put back on the scan's own grid and measured there. */
export function measure(labels: Labels, { scan, conformed: { headMl } }: Prepared, smallestMl: number | null): Measured {
  const voxelMl = voxelVolumeMl(labels.conformed.affineVox2ras);
  const cleaned = smallestMl === null ? null : removeSmallComponents(labels.conformed.data, labels.conformed.dims, smallestMl / voxelMl);
  const conformed = cleaned === null ? labels.conformed : { ...labels.conformed, data: cleaned.labels };
  const native = toNative(conformed, scan);
  const volumes = labelVolumes(native, labels.classes);
  const labelledMl = volumes.reduce((sum, { index, volumeMl }) => (index === 0 ? sum : sum + volumeMl), 0);
  return {
    conformed,
    native,
    volumes,
    removedMl: (cleaned?.removedVoxels ?? 0) * voxelMl,
    notes: resultNotes(labels.task, labelledMl, headMl),
  };
}

/** Free text of the scan's header; a hint to the modality. */
export function headerText(scan: Scan): string {
  return new TextDecoder('latin1').decode(scan.header.descrip).replace(/\0.*$/s, '').trim();
}

/** The scan on the model's grid: nearly always the one made when it was opened. */
function conformedFor({ scan, conformed }: Prepared, spec: ModelSpec): Conformed {
  const { size, voxel_size_mm: wantedMm } = spec.input;
  const fits = size.every((n, axis) => n === conformed.dims[axis]) && Math.abs(voxelSizeMm(conformed.affineVox2ras)[0] - wantedMm) <= 1e-5;
  return fits ? conformed : conform(scan, { size: size[0], voxelSizeMm: wantedMm });
}

/** Per model, by the weights' SHA-256: a backend without memory for one model may run a smaller one, and ids may repeat. */
const experience = new Map<string, Experience>();

function experienceOf(sha256: string): Experience {
  const known = experience.get(sha256) ?? noExperience();
  experience.set(sha256, known);
  return known;
}
