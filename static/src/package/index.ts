// The npm package: `segment` reads a scan, runs a model on it and measures the labels; `encodeNifti` makes a file of them.
//
// In a page, a worker does this (client.ts). Elsewhere (Node, Deno, a worker of the caller's) it happens in place
// (segment-here.ts). The site's own worker takes the same steps (worker/segmentation.ts).
import { encodeConformedLabels, encodeNativeLabels, encodeNativeProbability } from '../volume/nifti-write';
import { segmentInWorker } from './client';
import { SegmentError, segmentError } from './errors';
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
  const { signal, onProgress, backend = null, frame = null, threshold = null, removeBelowMl = null } = options;
  const { flip = false, probability = false, keepOutsideBrain = false } = options;
  signal?.throwIfAborted();
  try {
    const request = {
      files: filesOf(scan), model: sourceOf(model, options.models), backend, frame, threshold, flip, probability, removeBelowMl, keepOutsideBrain,
    };
    if (options.worker ?? 'document' in globalThis) return await segmentInWorker(request, signal, onProgress);
    const { segmentHere } = await import('./segment-here');
    return await segmentHere(request, signal, onProgress);
  } catch (error) {
    signal?.throwIfAborted();
    throw segmentError(error);
  }
}

/**
 * A .nii.gz file, uint8. `native`: the class indices on the scan's own grid, under the scan's header; `conformed`: on the
 * model's grid; `probability`: the lesion's probability on the scan's own grid, scaled to 0…1 by the header. Throws
 * SegmentError where the result has no probability.
 */
export function encodeNifti(segmentation: Segmentation, content: 'native' | 'conformed' | 'probability' = 'native'): Uint8Array<ArrayBuffer> {
  return encoded(segmentation, content) as Uint8Array<ArrayBuffer>;
}

function encoded({ labels, labelsConformed, probability, scan }: Segmentation, content: 'native' | 'conformed' | 'probability'): Uint8Array {
  if (content === 'native') return encodeNativeLabels(labels.data, labels.dims, scan.header);
  if (content === 'conformed') return encodeConformedLabels(labelsConformed, scan.header);
  if (probability === null) throw new SegmentError('the result has no probability; call segment with probability: true', 'run');
  return encodeNativeProbability(probability.data, probability.dims, scan.header);
}
