// Options, progress and result of `segment`.
import type { NiftiHeader } from '../volume/nifti-header';
import type { Note } from '../volume/notes';
import type { LabelVolume } from '../volume/prepare';
import type { Dims, Volume } from '../volume/volume';
import type { ModelSpec } from '../generated/model-spec';
import type { BackendId } from '../engine/types';
import type { BackendChoice } from '../worker/protocol';

export interface SegmentOptions {
  /** Called at the start of each stage and, while the network runs, several times a second. */
  readonly onProgress?: (progress: SegmentProgress) => void;
  /** Aborting ends the call within a second; it rejects with the signal's reason. */
  readonly signal?: AbortSignal;
  /** Use this engine or none. By default the best one: WebGPU, WebGL2, CPU (WebAssembly), software graphics. */
  readonly backend?: Exclude<BackendId, 'tfjs'>;
  /** Which volume of a 4-D file, from 0. Without it a 4-D file is refused; SegmentError's `frames` says how many there are. */
  readonly frame?: number;
  /** On the lesion's probability, 0…1, instead of the most probable label. */
  readonly threshold?: number;
  /** Average with the left-right mirror image; takes twice as long. */
  readonly flip?: boolean;
  /** Return the lesion's probability too. */
  readonly probability?: boolean;
  /** Remove connected components of fewer mL. By default every voxel stays. */
  readonly removeBelowMl?: number;
  /** Keep lesions or pieces outside the brain, which the brain rule drops. */
  readonly keepOutsideBrain?: boolean;
  /** URL of the folder that a model's id is looked up in. By default the models inside the package. */
  readonly models?: string | URL;
  /** Compute in a worker. By default in a page (where there is a document), and in place elsewhere. */
  readonly worker?: boolean;
}

export type SegmentProgress =
  | { readonly stage: 'preparing'; readonly fraction: 0 }
  /** The engine that runs, and why each better one does not. */
  | ({ readonly stage: 'backend'; readonly fraction: 0 } & BackendChoice)
  /** `fraction`: share of the network's multiply-adds that are done, 0…1. */
  | { readonly stage: 'layers'; readonly fraction: number; readonly layer: number; readonly layers: number };

export interface ClassVolume extends LabelVolume {
  /** From the model's label table. */
  readonly name: string;
}

export interface Segmentation {
  /** Class index of every voxel on the scan's own grid; x fastest in memory. */
  readonly labels: Volume<Uint8Array>;
  /** The same on the model's grid: LIA, 256³ voxels of 1 mm unless the model says otherwise. */
  readonly labelsConformed: Volume<Uint8Array>;
  /** Probability of the lesion, 0…255 for 0…1, on the scan's own grid; null unless asked for. */
  readonly probability: Volume<Uint8Array> | null;
  /** Of every class, background included, measured on the scan's own grid. */
  readonly volumes: readonly ClassVolume[];
  /** mL that `removeBelowMl` removed. */
  readonly removedMl: number;
  /** Repairs, assumptions and doubts about the scan and the result. */
  readonly notes: readonly Note[];
  readonly scan: {
    readonly name: string;
    readonly dims: Dims;
    readonly voxelSizeMm: readonly [number, number, number];
    readonly header: NiftiHeader;
  };
  readonly model: ModelSpec;
  /** The engine that ran, why each better one did not, and what the run took. */
  readonly run: BackendChoice & { readonly milliseconds: number; readonly peakBytes: number };
}
