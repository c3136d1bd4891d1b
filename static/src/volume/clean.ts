// Removal of small connected components from a label volume.
import type { Dims } from './volume';
import { componentsByLabel } from './label-components';

export interface Cleaned {
  /** [z][y][x] like the input; voxels of removed components are 0 (background). */
  readonly labels: Uint8Array;
  readonly removedVoxels: number;
}

/** Per label, components (voxels sharing a face) of fewer than `smallestVoxels` voxels become background. */
export function removeSmallComponents(labels: Uint8Array, dims: Dims, smallestVoxels: number): Cleaned {
  const out = labels.slice();
  let removedVoxels = 0;
  for (const { component, sizes, at } of componentsByLabel(labels, dims)) {
    for (let n = 0; n < component.length; n++) {
      if (component[n] !== 0 && sizes[component[n]! - 1]! < smallestVoxels) {
        out[at(n)] = 0;
        removedVoxels++;
      }
    }
  }
  return { labels: out, removedVoxels };
}
