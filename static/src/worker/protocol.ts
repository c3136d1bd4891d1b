// The calls of the page to its worker, with the data that they exchange.
import type { Dims, Affine } from '../volume/volume';
import type { Comparison } from '../volume/compare';
import type { SegmentedBy } from '../volume/dicom/segmentation';
import type { DicomSeries } from '../volume/dicom/types';
import type { Note } from '../volume/notes';
import type { MeshFormat } from '../volume/mesh/formats';
import type { MeshQuality } from '../volume/mesh/quality';
import type { LabelDelta } from '../volume/label-delta';
import type { NiftiHeader } from '../volume/nifti-header';
import type { LabelVolume } from '../volume/prepare';
import type { Measured } from '../volume/report-facts';
import type { Pictures } from '../volume/report-pictures';
import type { ModelSpec } from '../generated/model-spec';
import type { BackendId, LayerTiming, Progress } from '../engine/types';
import type { ModelSource } from '../model/source';

/** Voxel types that the viewer shows without conversion. */
export type DisplayArray = Uint8Array | Int16Array | Uint16Array | Float32Array;

/** A volume on the scan's own grid, for the viewer. */
export interface DisplayVolume<T extends DisplayArray = DisplayArray> {
  readonly data: T;
  readonly dims: Dims;
  readonly affineVox2ras: Affine;
}

/** The files of a scan. A call that needs its voxels reads them, unless this scan is the one that was read last. */
export interface ScanSource {
  /** The page's id of this scan and frame. */
  readonly id: number;
  readonly files: readonly File[];
  /** Frame of a 4-D file, from 0; null for a 3-D file. */
  readonly frame: number | null;
}

export interface ScanSummary {
  readonly name: string;
  /** Chosen frame of a 4-D file, from 0; null for a 3-D file. */
  readonly frame: number | null;
  readonly dims: Dims;
  readonly voxelSizeMm: readonly [number, number, number];
  readonly dtype: string;
  /** Free text of the header; a hint to the modality. */
  readonly description: string;
  /** Repairs, assumptions and cuts while the scan was read and conformed. */
  readonly notes: readonly Note[];
}

/** A scan without its voxels: all that is needed to bring labels onto its grid, to measure them there and to save them. */
export interface ScanGrid {
  readonly dims: Dims;
  readonly affineVox2ras: Affine;
  readonly header: NiftiHeader;
  /** Volume of the head by a crude threshold. */
  readonly headMl: number;
}

/** Known of a scan once it has been read. */
export interface ScanFacts {
  readonly summary: ScanSummary;
  readonly grid: ScanGrid;
}

/** Labels of one run on the network's grid in the conformed orientation (LIA), before any cleaning. */
export interface StoredLabels {
  /** Gzip of one byte per voxel, i fastest: some hundred KB for 256³ voxels. */
  readonly gzipped: Uint8Array;
  readonly dims: Dims;
  readonly affineVox2ras: Affine;
  /** Background included. */
  readonly classes: number;
  /** Of the model: what it labels. */
  readonly spec: Pick<ModelSpec, 'task' | 'labels' | 'pieces'>;
  /** Null where it was not kept, or the model has no label that it could be about. */
  readonly confidence: StoredConfidence | null;
}

/** The confidence of a run in one of its labels (volume/confidence.ts), each gzip like the labels. */
export interface StoredConfidence {
  /** The label that the probability and a threshold are about. */
  readonly chosen: number;
  /** Its probability, 0…255. */
  readonly probability: Uint8Array;
  /** The labels with the most probable other one in the place of `chosen`. */
  readonly others: Uint8Array;
}

/** A result as it is shown and saved: `labels` without components below `smallestMl` (null: with all of them), on `grid`. */
export interface OutcomeRequest {
  readonly labels: StoredLabels;
  readonly grid: ScanGrid;
  readonly smallestMl: number | null;
  /** Leaves the brain rule out (volume/brain-rule.ts). */
  readonly keepOutsideBrain: boolean;
  /** On the probability of the chosen label, 0…1; null for the most probable label everywhere. */
  readonly threshold: number | null;
  /** Edits by hand on `grid`, from the labels that the other settings give; null where there are none. */
  readonly edit: LabelDelta | null;
}

/** How a run uses probabilities; without both, no engine computes any. */
export interface ConfidenceOptions {
  /** Keep the chosen label's probability, where the model has such a label. */
  readonly keep: boolean;
  /** Average with the run on the mirror image. */
  readonly mirror: boolean;
}

export interface BackendChoice {
  readonly backend: BackendId;
  readonly device: string;
  readonly details: Readonly<Record<string, string | number>>;
  /** Why each better backend was not used. */
  readonly whyNot: readonly string[];
}

export interface RunReport extends BackendChoice {
  readonly milliseconds: number;
  readonly timings: readonly LayerTiming[];
  readonly peakBytes: number;
  readonly largestBufferBytes: number;
  /** On the contrast, and on the scan on the model's own grid. */
  readonly notes: readonly Note[];
}

/** One separate part of a mask. */
export interface Part {
  readonly volumeMl: number;
  /** Its voxel nearest to the mean position of its voxels. */
  readonly centre: readonly [number, number, number];
  /** The same place in RAS+ millimetres. */
  readonly positionMm: readonly [number, number, number];
}

export interface Outcome {
  /** Of every class, on the scan's own grid. */
  readonly volumes: readonly LabelVolume[];
  /** Of every class: its voxel nearest to the mean position of its voxels; null where it has none. */
  readonly centres: readonly ((readonly [number, number, number]) | null)[];
  /** Of a model with one label that is shown at first: its separate parts on the scan's own grid; null otherwise. */
  readonly parts: { readonly count: number; readonly largest: readonly Part[] } | null;
  /** Volume of the removed small components, on the conformed grid. */
  readonly removedMl: number;
  /** Results that can't be right. */
  readonly notes: readonly Note[];
}

export interface BackendOptions {
  /** `?backend=`: this one or an error. */
  readonly forced: BackendId | null;
  /** `?maxBufferMB=` in bytes. */
  readonly maxBufferBytes: number | null;
}

/** Request and reply of each call. */
export interface Calls {
  probe: { request: BackendOptions; reply: BackendChoice };
  load: { request: { scan: ScanSource }; reply: { facts: ScanFacts; display: DisplayVolume } };
  model: { request: { source: ModelSource }; reply: { spec: ModelSpec | null; notes: readonly string[] } };
  /** Seconds that a run of the model would take on the CPU. */
  pace: { request: { source: ModelSource }; reply: { seconds: number } };
  run: { request: { scan: ScanSource; source: ModelSource; options: BackendOptions; confidence: ConfidenceOptions }; reply: { facts: ScanFacts; spec: ModelSpec; report: RunReport; labels: StoredLabels } };
  outcome: { request: OutcomeRequest; reply: { outcome: Outcome; overlay: DisplayVolume<Uint8Array> } };
  /** The probability of the chosen label on the scan's own grid, resampled like labels. */
  probability: { request: Pick<OutcomeRequest, 'labels' | 'grid'>; reply: { overlay: DisplayVolume<Uint8Array>; bytes: Uint8Array } };
  /** The labels that edits by hand start from. `under`: the labels that come up where a label is erased. `edit` of the request is not used. */
  editable: { request: OutcomeRequest; reply: { base: Uint8Array; under: Uint8Array } };
  /** Masks of the lesion, or of all labels where the model has none, on the scan's own grid. Overlay: 1 both, 2 the result, 3 the other. */
  compare: {
    request: { result: OutcomeRequest; other: { readonly kind: 'file'; readonly file: File; readonly namedMask: boolean } | { readonly kind: 'result'; readonly result: OutcomeRequest } };
    reply: { comparison: Comparison; overlay: DisplayVolume<Uint8Array> };
  };
  /** The numbers and pictures of a report on a result. */
  report: { request: { scan: ScanSource; result: OutcomeRequest }; reply: { measured: Measured; pictures: Pictures } };
  /** One watertight mesh around the labels `indices` on the scan's own grid, in RAS+ mm. */
  mesh: { request: OutcomeRequest & { indices: readonly number[]; quality: MeshQuality; format: MeshFormat }; reply: { bytes: Uint8Array } };
  /** Labels as DICOM-SEG. `version`: of the site. */
  dicomSeg: { request: OutcomeRequest & { scan: ScanSource; allLabels: boolean; series: DicomSeries; model: SegmentedBy; version: string }; reply: { bytes: Uint8Array } };
  save: { request: OutcomeRequest & { space: 'native' | 'conformed'; allLabels: boolean }; reply: { bytes: Uint8Array } };
}

export type CallName = keyof Calls;

export type Stage =
  | { readonly stage: 'preparing' }
  | ({ readonly stage: 'backend' } & BackendChoice)
  | ({ readonly stage: 'layers' } & Progress);
