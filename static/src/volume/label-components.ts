// Connected components of every label of a volume: voxels that share a face.
import { connectedComponents } from './components';
import type { Dims } from './volume';

export interface LabelComponents {
  readonly label: number;
  /** Of each voxel of the label's bounding box: 0 outside the label, components from 1. */
  readonly component: Int32Array;
  /** Voxels of component n + 1. */
  readonly sizes: readonly number[];
  /** Place in the volume of voxel n of the bounding box. */
  readonly at: (n: number) => number;
}

/** Label by label, background (0) left out; only one label's components exist at a time. */
export function* componentsByLabel(labels: Uint8Array, dims: Dims): Generator<LabelComponents> {
  for (const [label, { min, max }] of boundingBoxes(labels, dims)) {
    const [nx, ny, nz] = [max[0] - min[0] + 1, max[1] - min[1] + 1, max[2] - min[2] + 1];
    const at = (n: number): number => min[0] + (n % nx) + dims[0] * (min[1] + (Math.floor(n / nx) % ny) + dims[1] * (min[2] + Math.floor(n / (nx * ny))));
    const mask = new Uint8Array(nx * ny * nz);
    for (let n = 0; n < mask.length; n++) mask[n] = labels[at(n)] === label ? 1 : 0;
    const { labels: component, sizes } = connectedComponents(mask, [nx, ny, nz]);
    yield { label, component, sizes, at };
  }
}

interface Box {
  min: [number, number, number];
  max: [number, number, number];
}

/** Bounding box of every label but 0. */
export function boundingBoxes(labels: Uint8Array, [nx, ny, nz]: Dims): Map<number, Box> {
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
