// The editing tools that look at a whole label or at many voxels; they run in a worker of their own (edit-worker.ts), so that the page
// answers meanwhile.
import type { Axis, Grid } from '../volume/brush';
import { voxelsBetweenSlices } from '../volume/fill-between';
import { grownVoxels, otherPieces, pieceAt } from '../volume/flood';
import type { Growth } from '../volume/flood';
import { smoothMask } from '../volume/smooth';
import type { Dims } from '../volume/volume';

interface OnLabels {
  /** Edited labels on the scan's own grid, i fastest. */
  readonly labels: Uint8Array;
  readonly grid: Grid;
  /** The label that is changed. */
  readonly label: number;
}

/** A tool and what it works on. Voxels are indices on `grid`. */
export type EditTool =
  /** `base`: the labels before any edit; `axis`: across the slices. */
  | (OnLabels & { readonly tool: 'fill'; readonly base: Uint8Array; readonly axis: Axis })
  | (OnLabels & { readonly tool: 'smooth'; readonly sigmaMm: number })
  | (OnLabels & { readonly tool: 'delete'; readonly voxel: number })
  | (OnLabels & { readonly tool: 'keep'; readonly voxel: number })
  /** `intensity`: of the part of the scan that the tool may reach. */
  | { readonly tool: 'grow'; readonly intensity: Float32Array; readonly grid: Grid; readonly seed: Dims; readonly growth: Growth };

export interface EditCalls {
  use: {
    request: EditTool;
    /** Voxels that get the label, and those that lose it. */
    reply: { readonly added: Uint32Array; readonly removed: Uint32Array };
  };
}

export function changedVoxels(request: EditTool): EditCalls['use']['reply'] {
  const { added = [], removed = [] } = voxelsOf(request);
  return { added: Uint32Array.from(added), removed: Uint32Array.from(removed) };
}

function voxelsOf(request: EditTool): { readonly added?: readonly number[]; readonly removed?: readonly number[] } {
  switch (request.tool) {
    case 'grow':
      return { added: grownVoxels(request.intensity, request.grid, request.seed, request.growth) };
    case 'delete':
      return { removed: pieceAt(request.labels, request.grid.dims, request.label, request.voxel) };
    case 'keep':
      return { removed: otherPieces(request.labels, request.grid.dims, request.label, request.voxel) };
    case 'smooth':
      return smoothMask(maskOf(request), request.grid, request.sigmaMm);
    case 'fill':
      return { added: voxelsBetweenSlices(maskOf(request), paintedMask(request), request.grid, request.axis) };
  }
}

/** 1 where the voxel has the label. */
function maskOf({ labels, label }: OnLabels): Uint8Array {
  return labels.map((value) => Number(value === label));
}

/** 1 where the voxel has the label by hand. */
function paintedMask({ labels, label, base }: OnLabels & { readonly base: Uint8Array }): Uint8Array {
  return labels.map((value, n) => Number(value === label && base[n] !== label));
}
