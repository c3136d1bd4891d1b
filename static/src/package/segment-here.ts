// One call of `segment` from files to result, in the thread that calls it.
import { voxelSizeMm } from '../volume/affine';
import { chosenLabel, hasConfidence, MOST_CLASSES, othersOf, probabilityOf, thresholded } from '../volume/confidence';
import { voxelVolumeMl } from '../volume/native';
import { fromNetworkLabels, labelVolumes, prepare, toNative } from '../volume/prepare';
import { resultNotes } from '../volume/run-notes';
import type { Volume } from '../volume/volume';
import { cpu } from '../engine/cpu/index';
import type { BackendId } from '../engine/types';
import { webgl2 } from '../engine/webgl2/index';
import { webgpu } from '../engine/webgpu/index';
import { loadModel, type ModelSource } from '../model/source';
import { cleanLabels, segmentScan, type ScanRun } from '../worker/segmentation';
import { SegmentError } from './errors';
import type { Segmentation, SegmentProgress } from './types';

/** Without TensorFlow.js, the site's last resort, which is larger than everything else together. */
const ENGINES = [webgpu, webgl2, cpu];

/** A call in a form that can be sent to a worker. */
export interface SegmentRequest {
  readonly files: readonly File[];
  readonly model: ModelSource;
  readonly backend: BackendId | null;
  readonly frame: number | null;
  readonly threshold: number | null;
  readonly flip: boolean;
  readonly probability: boolean;
  readonly removeBelowMl: number | null;
  readonly keepOutsideBrain: boolean;
}

/** The worker's one call. A type, not an interface, because a table of calls needs an index signature. */
export type PackageCalls = { segment: { request: SegmentRequest; reply: Segmentation } };

export async function segmentHere(
  request: SegmentRequest,
  signal: AbortSignal = new AbortController().signal,
  onProgress: (progress: SegmentProgress) => void = () => undefined,
): Promise<Segmentation> {
  onProgress({ stage: 'preparing', fraction: 0 });
  const loaded = await loadModel(request.model, signal);
  const { spec } = loaded;
  const chosen = chosenFor(spec, request);
  const contents = await Promise.all(request.files.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
  const prepared = prepare(contents, request.frame);
  const { scan } = prepared;
  const ran = await segmentScan(
    prepared, loaded, ENGINES, { forced: request.backend, maxBufferBytes: null }, { keep: chosen !== null, mirror: request.flip },
    { signal, onProgress: (progress) => { onProgress({ stage: 'layers', ...progress }); } },
    (backend) => { onProgress({ stage: 'backend', fraction: 0, ...backend }); },
  );
  const { result } = ran;
  const onGrid = (data: Uint8Array): Volume<Uint8Array> => fromNetworkLabels(data, ran.conformed, spec);
  const probability = chosen === null ? null : probabilityOf(result.probabilities!, result.labels.length, chosen);
  const options = { smallestMl: request.removeBelowMl, keepOutsideBrain: request.keepOutsideBrain };
  const { conformed, removedVoxels, outsideVoxels } = cleanLabels(onGrid(labelsOf(ran, probability, chosen, request.threshold)), spec, options);
  const voxelMl = voxelVolumeMl(conformed.affineVox2ras);
  const labels = toNative(conformed, scan);
  const volumes = labelVolumes(labels, spec.labels.length);
  const { backend, device, details, whyNot, milliseconds, peakBytes } = result;
  return {
    labels,
    labelsConformed: conformed,
    probability: probability === null || !request.probability ? null : toNative(onGrid(probability), scan),
    volumes: volumes.map((volume) => ({ ...volume, name: spec.labels[volume.index]!.name })),
    removedMl: removedVoxels * voxelMl,
    notes: [...scan.notes, ...ran.notes, ...resultNotes(spec, volumes, prepared.conformed.headMl, outsideVoxels * voxelMl)],
    scan: { name: scan.name, dims: scan.dims, voxelSizeMm: voxelSizeMm(scan.affineVox2ras), header: scan.header },
    model: spec,
    run: { backend, device, details, whyNot, milliseconds, peakBytes },
  };
}

/** The label that threshold and probability are about; null where neither is asked for. Throws SegmentError where there is none. */
function chosenFor(spec: Segmentation['model'], { threshold, probability }: SegmentRequest): number | null {
  if (threshold === null && !probability) return null;
  if (!hasConfidence(spec)) throw new SegmentError(`${spec.id}: threshold and probability need a model with up to ${MOST_CLASSES} labels, one of them a lesion`, 'model');
  return chosenLabel(spec);
}

/** The run's labels, by the threshold if there is one. */
function labelsOf({ result: { labels, probabilities } }: ScanRun, probability: Uint8Array | null, chosen: number | null, threshold: number | null): Uint8Array {
  if (probability === null || chosen === null || threshold === null) return labels;
  return thresholded(othersOf(labels, probabilities!, chosen), probability, chosen, threshold);
}
