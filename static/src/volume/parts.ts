// The separate parts of a mask, for example several lesions: their number, sizes and centres.
import type { Dims } from './volume';
import { labelCentres } from './centres';
import { componentsByLabel } from './label-components';

export interface Parts {
  readonly count: number;
  /** Largest first; `centre` is the part's voxel nearest to the mean of its voxels. */
  readonly largest: readonly { readonly voxels: number; readonly centre: readonly [i: number, j: number, k: number] }[];
}

/** Parts (voxels sharing a face) of label 1, of which at most `listed` (below 255) are returned with size and centre. */
export function separateParts(mask: Uint8Array, dims: Dims, listed: number): Parts {
  for (const { label, component, sizes, at } of componentsByLabel(mask, dims)) {
    if (label !== 1) continue;
    const order = sizes.map((_, n) => n).sort((a, b) => sizes[b]! - sizes[a]! || a - b).slice(0, listed);
    const rank = new Uint8Array(1 + sizes.length);
    order.forEach((n, place) => { rank[1 + n] = 1 + place; });
    const ranked = new Uint8Array(mask.length);
    for (let n = 0; n < component.length; n++) if (rank[component[n]!] !== 0) ranked[at(n)] = rank[component[n]!]!;
    const centres = labelCentres(ranked, dims, 1 + order.length);
    return { count: sizes.length, largest: order.map((n, place) => ({ voxels: sizes[n]!, centre: centres[1 + place]! })) };
  }
  return { count: 0, largest: [] };
}
