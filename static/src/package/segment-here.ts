// One call of `segment` from files to result, in the thread that calls it.
import { voxelSizeMm } from '../volume/affine';
import { prepare } from '../volume/prepare';
import { cpu } from '../engine/cpu/index';
import type { BackendId } from '../engine/types';
import { webgl2 } from '../engine/webgl2/index';
import { webgpu } from '../engine/webgpu/index';
import { loadModel, type ModelSource } from '../model/source';
import { measure, segmentScan } from '../worker/segmentation';
import type { Segmentation, SegmentProgress } from './types';

/** Without TensorFlow.js, the site's last resort, which is larger than everything else together. */
const ENGINES = [webgpu, webgl2, cpu];

/** A call in a form that can be sent to a worker. */
export interface SegmentRequest {
  readonly files: readonly File[];
  readonly model: ModelSource;
  readonly backend: BackendId | null;
  readonly frame: number | null;
  readonly removeBelowMl: number | null;
}

export async function segmentHere(
  { files, model, backend, frame, removeBelowMl }: SegmentRequest,
  signal: AbortSignal = new AbortController().signal,
  onProgress: (progress: SegmentProgress) => void = () => undefined,
): Promise<Segmentation> {
  onProgress({ stage: 'preparing', fraction: 0 });
  const loaded = await loadModel(model, signal);
  const contents = await Promise.all(files.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
  const prepared = prepare(contents, frame);
  const { labels, run, notes } = await segmentScan(
    prepared, loaded, ENGINES, { forced: backend, maxBufferBytes: null },
    { signal, onProgress: (progress) => { onProgress({ stage: 'layers', ...progress }); } },
    (chosen) => { onProgress({ stage: 'backend', fraction: 0, ...chosen }); },
  );
  const measured = measure(labels, prepared, removeBelowMl);
  const { scan } = prepared;
  const { spec } = loaded;
  const { device, details, whyNot, milliseconds, peakBytes } = run;
  return {
    labels: measured.native,
    labelsConformed: measured.conformed,
    volumes: measured.volumes.map((volume) => ({ ...volume, name: spec.labels[volume.index]!.name })),
    removedMl: measured.removedMl,
    notes: [...scan.notes, ...notes, ...measured.notes],
    scan: { name: scan.name, dims: scan.dims, voxelSizeMm: voxelSizeMm(scan.affineVox2ras), header: scan.header },
    model: spec,
    run: { backend: run.backend, device, details, whyNot, milliseconds, peakBytes },
  };
}
