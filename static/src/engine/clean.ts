// Removal of small connected components from a label volume, only where the visitor asks for it.
import { connectedComponents } from '../volume/components';
import type { Dims } from '../volume/volume';

export interface Cleaned {
  /** [z][y][x] like the input; voxels of removed components are 0 (background). */
  readonly labels: Uint8Array;
  readonly removedVoxels: number;
}

/** Per label, components (voxels sharing a face) of fewer than `smallestVoxels` voxels become background. */
export function removeSmallComponents(labels: Uint8Array, dims: Dims, smallestVoxels: number): Cleaned {
  const out = labels.slice();
  let removedVoxels = 0;
  for (const [label, box] of boundingBoxes(labels, dims)) {
    const [nx, ny, nz] = [box.max[0] - box.min[0] + 1, box.max[1] - box.min[1] + 1, box.max[2] - box.min[2] + 1];
    const at = (n: number): number =>
      box.min[0] + (n % nx) + dims[0] * (box.min[1] + (Math.floor(n / nx) % ny) + dims[1] * (box.min[2] + Math.floor(n / (nx * ny))));
    const mask = new Uint8Array(nx * ny * nz);
    for (let n = 0; n < mask.length; n++) mask[n] = labels[at(n)] === label ? 1 : 0;
    const { labels: component, sizes } = connectedComponents(mask, [nx, ny, nz]);
    for (let n = 0; n < mask.length; n++) {
      if (component[n] !== 0 && sizes[component[n]! - 1]! < smallestVoxels) {
        out[at(n)] = 0;
        removedVoxels++;
      }
    }
  }
  return { labels: out, removedVoxels };
}

interface Box {
  min: [number, number, number];
  max: [number, number, number];
}

/** Of every label but 0. */
function boundingBoxes(labels: Uint8Array, [nx, ny, nz]: Dims): Map<number, Box> {
  const boxes = new Map<number, Box>();
  let n = 0;
  for (let z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, n++) {
        const label = labels[n]!;
        if (label === 0) continue;
        const box = boxes.get(label);
        if (box === undefined) {
          boxes.set(label, { min: [x, y, z], max: [x, y, z] });
          continue;
        }
        if (x < box.min[0]) box.min[0] = x;
        if (y < box.min[1]) box.min[1] = y;
        if (x > box.max[0]) box.max[0] = x;
        if (y > box.max[1]) box.max[1] = y;
        box.max[2] = z;
      }
    }
  }
  return boxes;
}
