// A box of voxels in a volume: where a label lies, and the copy of it.
import { boundingBoxes } from './label-components';
import type { Dims } from './volume';

export interface Region {
  readonly min: Dims;
  readonly dims: Dims;
}

/** The bounding box of the voxels with this label and `margin` voxels around them, within the volume; null without any. */
export function regionOf(label: number, labels: Uint8Array, dims: Dims, margin: number): Region | null {
  const box = boundingBoxes(labels, dims).get(label);
  if (box === undefined) return null;
  const min = box.min.map((m) => Math.max(0, m - margin)) as unknown as Dims;
  const max = box.max.map((m, axis) => Math.min(dims[axis]! - 1, m + margin));
  return { min, dims: max.map((m, axis) => m - min[axis]! + 1) as unknown as Dims };
}

export function crop(volume: Uint8Array, dims: Dims, box: Region): Uint8Array {
  const out = new Uint8Array(box.dims[0] * box.dims[1] * box.dims[2]);
  forEachRow(dims, box, (at, to) => { out.set(volume.subarray(at, at + box.dims[0]), to); });
  return out;
}

/** Calls `visit` with the place of every row of the box in the volume and in the box. */
export function forEachRow([nx, ny]: Dims, { min, dims: [bx, by, bz] }: Region, visit: (inVolume: number, inBox: number) => void): void {
  for (let z = 0; z < bz; z++) {
    for (let y = 0; y < by; y++) visit(min[0] + nx * (min[1] + y + ny * (min[2] + z)), bx * (y + by * z));
  }
}
