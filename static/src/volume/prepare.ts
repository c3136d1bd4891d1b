// The steps before and after the network: dropped files → network input, and network labels → saved file.
// Pure functions on arrays; no DOM.
import type { ModelSpec } from '../generated/model-spec';
import { voxelSizeMm } from './affine';
import { conform, CONFORMED_GRID, type Conformed, type ConformedGrid } from './conform';
import { labelCounts, labelsToNative, voxelVolumeMl } from './native';
import { readScan, type Scan, type ScanFile } from './nifti';
import { encodeConformedLabels, encodeNativeLabels } from './nifti-write';
import { normalize } from './normalize';
import { CONFORMED_ORIENTATION, reorient } from './orientation';
import type { Volume } from './volume';

export interface Prepared {
  /** The scan on its own grid, with its header. */
  readonly scan: Scan;
  /** LIA; 256³ of 1 mm unless another grid was asked for. */
  readonly conformed: Conformed;
}

export interface LabelVolume {
  readonly index: number;
  readonly voxels: number;
  readonly volumeMl: number;
}

type InputOfSpec = Pick<ModelSpec, 'id' | 'architecture' | 'input'>;

/**
 * Read and conform one scan: a .nii, a .nii.gz, or a .hdr with its .img.
 * Raises ScanError with a sentence for the visitor; FramesError for a 4-D file without `frame` (0-based).
 */
export function prepare(files: readonly ScanFile[], frame: number | null = null, grid: ConformedGrid = CONFORMED_GRID): Prepared {
  const scan = readScan(files, frame);
  return { scan, conformed: conform(scan, grid) };
}

/**
 * Conformed volume → [z][y][x] float32 in the model's orientation, normalised; see EngineInput.
 * Raises an Error where the model takes another grid or more than one channel.
 */
export function toNetworkInput(conformed: Volume<Uint8Array>, spec: InputOfSpec): Float32Array {
  const { size, voxel_size_mm: wantedMm, orientation, normalization } = spec.input;
  const channels = spec.architecture.in_channels;
  const gotMm = voxelSizeMm(conformed.affineVox2ras)[0];
  if (size.some((n, axis) => n !== conformed.dims[axis]) || Math.abs(wantedMm - gotMm) > 1e-5 || channels !== 1) {
    throw new Error(
      `model ${spec.id} takes ${channels} channels of ${size.join(' x ')} voxels of ${wantedMm} mm, but the conformed scan has 1 channel of ${conformed.dims.join(' x ')} voxels of ${gotMm} mm; choose another model`,
    );
  }
  return normalize(reorient(conformed.data, conformed.dims, CONFORMED_ORIENTATION, orientation), normalization);
}

/** The network's labels, in the model's orientation → labels on the conformed grid. */
export function fromNetworkLabels(labels: Uint8Array, conformed: Volume<Uint8Array>, spec: InputOfSpec): Volume<Uint8Array> {
  const data = reorient(labels, conformed.dims, spec.input.orientation, CONFORMED_ORIENTATION);
  return { data, dims: conformed.dims, affineVox2ras: conformed.affineVox2ras };
}

/** Conformed labels on the scan's own grid. */
export function toNative(labelsConformed: Volume<Uint8Array>, { dims, affineVox2ras }: Pick<Scan, 'dims' | 'affineVox2ras'>): Volume<Uint8Array> {
  return { data: labelsToNative(labelsConformed, dims, affineVox2ras), dims, affineVox2ras };
}

/** Voxels and mL of every class, measured on the grid of `labels`; reports use the scan's own grid. */
export function labelVolumes(labels: Volume<Uint8Array>, classes: number): LabelVolume[] {
  const voxelMl = voxelVolumeMl(labels.affineVox2ras);
  return labelCounts(labels.data, classes).map((voxels, index) => ({ index, voxels, volumeMl: voxels * voxelMl }));
}

/** .nii.gz bytes of labels on the scan's own grid, under the scan's header. */
export function encodeNative(labelsNative: Volume<Uint8Array>, scan: Pick<Scan, 'dims' | 'header'>): Uint8Array {
  return encodeNativeLabels(labelsNative.data, scan.dims, scan.header);
}

/** .nii.gz bytes of labels on the conformed grid. */
export function encodeConformed(labelsConformed: Volume<Uint8Array>, scan: Pick<Scan, 'header'>): Uint8Array {
  return encodeConformedLabels(labelsConformed, scan.header);
}
