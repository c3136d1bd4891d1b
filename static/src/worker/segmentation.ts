// The steps from a read scan and a model to cleaned labels. The page's worker and the npm package (package/) share them.
import { voxelSizeMm } from '../volume/affine';
import { withoutPartsOutsideBrain } from '../volume/brain-rule';
import { removeSmallComponents } from '../volume/clean';
import { conform, type Conformed } from '../volume/conform';
import { voxelVolumeMl } from '../volume/native';
import type { Scan } from '../volume/nifti';
import type { Note } from '../volume/notes';
import { toNetworkInput, type Prepared } from '../volume/prepare';
import { contrastNotes, fluidNotes } from '../volume/run-notes';
import type { Volume } from '../volume/volume';
import type { ModelSpec } from '../generated/model-spec';
import { noExperience, probeAll, rankBackends, type Experience, type SegmentResult } from '../engine/choose';
import type { BackendModule, RunOptions } from '../engine/types';
import type { LoadedModel } from '../model/bundle';
import { runNetwork } from './confident-run';
import type { BackendChoice, BackendOptions, ConfidenceOptions } from './protocol';

/** A run on a scan. */
export interface ScanRun {
  /** The scan on the model's grid. */
  readonly conformed: Conformed;
  /** In the model's orientation; `fromNetworkLabels` brings its labels onto the conformed grid. */
  readonly result: SegmentResult;
  /** On the contrast, and on the scan on the model's grid. */
  readonly notes: readonly Note[];
}

export interface CleanOptions {
  /** Components below this volume become background; null: none do. */
  readonly smallestMl: number | null;
  /** Leaves the brain rule out (volume/brain-rule.ts). */
  readonly keepOutsideBrain: boolean;
}

export interface CleanedLabels {
  readonly conformed: Volume<Uint8Array>;
  /** In small components. */
  readonly removedVoxels: number;
  /** That the brain rule dropped. */
  readonly outsideVoxels: number;
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
  confidence: ConfidenceOptions,
  { signal, onProgress }: Required<Pick<RunOptions, 'signal' | 'onProgress'>>,
  onBackend: (chosen: BackendChoice) => void,
): Promise<ScanRun> {
  const conformed = conformedFor(prepared, spec);
  const input = { data: toNetworkInput(conformed, spec), dims: spec.input.size };
  const choice = rankBackends(await probeAll(engines), options.forced);
  const runOptions: RunOptions = { signal, onProgress, ...(options.maxBufferBytes === null ? {} : { maxBufferBytes: options.maxBufferBytes }) };
  const network = { spec, graph, choice, experience: experienceOf(spec.weights.sha256) };
  const result = await runNetwork(network, input, runOptions, confidence, onBackend);
  const named = contrastNotes(prepared.scan.name, headerText(prepared.scan), spec.modality);
  const seen = named.length > 0 ? [] : fluidNotes(conformed, spec.input.voxel_size_mm, spec.modality);
  const notes = [...named, ...seen, ...conformed.notes];
  return { conformed, result, notes };
}

/** Labels on the model's grid without what the brain rule drops and without small components, in the order of `meshnet-predict`. */
export function cleanLabels(labels: Volume<Uint8Array>, spec: Pick<ModelSpec, 'task' | 'labels' | 'pieces'>, { smallestMl, keepOutsideBrain }: CleanOptions): CleanedLabels {
  const { data, dims, affineVox2ras } = labels;
  const inBrain = keepOutsideBrain ? { labels: data, removedVoxels: 0 } : withoutPartsOutsideBrain(data, dims, spec);
  const large = smallestMl === null
    ? { labels: inBrain.labels, removedVoxels: 0 }
    : removeSmallComponents(inBrain.labels, dims, smallestMl / voxelVolumeMl(affineVox2ras));
  return { conformed: { data: large.labels, dims, affineVox2ras }, removedVoxels: large.removedVoxels, outsideVoxels: inBrain.removedVoxels };
}

/** Free text of the scan's header; a hint to the modality. */
export function headerText(scan: Scan): string {
  return new TextDecoder('latin1').decode(scan.header.descrip).replace(/\0.*$/s, '').trim();
}

/** The scan on the grid of a model's labels: nearly always the one made when it was opened. */
export function conformedOn({ scan, conformed }: Prepared, { dims, affineVox2ras }: Pick<Volume, 'dims' | 'affineVox2ras'>): Conformed {
  const wantedMm = voxelSizeMm(affineVox2ras)[0];
  const fits = dims.every((n, axis) => n === conformed.dims[axis]) && Math.abs(voxelSizeMm(conformed.affineVox2ras)[0] - wantedMm) <= 1e-5;
  return fits ? conformed : conform(scan, { size: dims[0], voxelSizeMm: wantedMm });
}

function conformedFor(prepared: Prepared, { input: { size, voxel_size_mm: mm } }: ModelSpec): Conformed {
  return conformedOn(prepared, { dims: size, affineVox2ras: [mm, 0, 0, 0, 0, mm, 0, 0, 0, 0, mm, 0, 0, 0, 0, 1] });
}

/** Per model, by the weights' SHA-256: a backend without memory for one model may run a smaller one, and ids may repeat. */
const experience = new Map<string, Experience>();

function experienceOf(sha256: string): Experience {
  const known = experience.get(sha256) ?? noExperience();
  experience.set(sha256, known);
  return known;
}
