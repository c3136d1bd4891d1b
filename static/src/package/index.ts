// The npm package: `segment` reads a scan, runs a model on it and measures the labels; `encodeNifti` makes a file of them.
//
// In a page, a worker does this (client.ts). Elsewhere (Node, Deno, a worker of the caller's) it happens in place
// (segment-here.ts). The site's own worker takes the same steps (worker/segmentation.ts).
import { encodeConformedLabels, encodeNativeLabels } from '../volume/nifti-write';
import { segmentInWorker } from './client';
import { segmentError } from './errors';
import { sourceOf, type ModelInput } from './models';
import { filesOf, type ScanInput } from './scan-input';
import type { Segmentation, SegmentOptions } from './types';

export { releaseWorker } from './client';
export { SegmentError } from './errors';
export { shippedModels, type ModelInput } from './models';
export type { NamedFile, ScanInput } from './scan-input';
export type { ClassVolume, Segmentation, SegmentOptions, SegmentProgress } from './types';

/**
 * Segments one scan: labels on the scan's own grid, and the volume of every class in mL.
 *
 * `scan`: one NIfTI or MGH file, gzipped or not, or a .hdr with its .img. `model`: the id of a shipped model
 * (`shippedModels`), the URL of a web bundle's folder, or its files.
 *
 * Rejects with SegmentError where scan or model cannot be used or no engine runs, and with `signal.reason` once aborted.
 * Calls in a page share one worker and run one after the other.
 */
export async function segment(scan: ScanInput, model: ModelInput, options: SegmentOptions = {}): Promise<Segmentation> {
  const { signal, onProgress, backend = null, frame = null, removeBelowMl = null } = options;
  signal?.throwIfAborted();
  try {
    const request = { files: filesOf(scan), model: sourceOf(model, options.models), backend, frame, removeBelowMl };
    if (options.worker ?? 'document' in globalThis) return await segmentInWorker(request, signal, onProgress);
    const { segmentHere } = await import('./segment-here');
    return await segmentHere(request, signal, onProgress);
  } catch (error) {
    signal?.throwIfAborted();
    throw segmentError(error);
  }
}

/**
 * A .nii.gz file of the labels. `native`: on the scan's own grid, under the scan's header; `conformed`: on the model's grid.
 * The values are class indices, the data type is uint8.
 */
export function encodeNifti(segmentation: Segmentation, space: 'native' | 'conformed' = 'native'): Uint8Array<ArrayBuffer> {
  const { labels, labelsConformed, scan } = segmentation;
  const bytes = space === 'native' ? encodeNativeLabels(labels.data, labels.dims, scan.header) : encodeConformedLabels(labelsConformed, scan.header);
  return bytes as Uint8Array<ArrayBuffer>;
}
