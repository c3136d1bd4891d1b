// The labels that are being edited, in the picture: NiiVue's drawing layer, which takes new voxels without building its textures
// anew. NiiVue keeps it in its own reoriented voxel order; here every voxel has its index on the scan's own grid.
import type { Niivue, NVImage } from '@niivue/niivue';
import type { Label } from '../../generated/model-spec';
import { apply, invert } from '../../volume/affine';
import type { Axis, Grid } from '../../volume/brush';
import type { Dims } from '../../volume/volume';

/** A place on a slice of the picture. */
export interface PicturePoint {
  /** On the scan's grid, with fractions within the slice and a whole number across it. */
  readonly voxel: Dims;
  /** The voxel axis across the slice. */
  readonly sliceAxis: Axis;
  /** Number of the slice's field in the picture. */
  readonly field: number;
}

/** Axis of NiiVue's reoriented voxels across an axial, coronal or sagittal slice. */
const ACROSS: readonly Axis[] = [2, 1, 0];

export class Drawing {
  private readonly order: VoxelOrder;
  /** Whether the picture is drawn again at the next frame. */
  private isDue = false;
  private isOpen = true;

  /** `labels` [z][y][x] on the grid; they are read again at each `update`. */
  constructor(
    private readonly nv: Niivue,
    private readonly grid: Grid,
    readonly labels: Uint8Array,
    readonly names: readonly Label[],
    colours: object,
    opacity: number,
  ) {
    this.order = voxelOrder(nv.volumes[0]!.permRAS!, grid.dims);
    if (nv.volumes.length > 1) nv.setOpacity(1, 0);
    nv.createEmptyDrawing();
    this.setColours(colours);
    this.setOpacity(opacity);
    this.update(null);
  }

  /** Draws changed labels: those of these voxels, or all of them. */
  update(voxels: readonly number[] | null): void {
    const target = this.nv.drawBitmap!;
    const [nx, ny, nz] = this.grid.dims;
    const { start, steps: [si, sj, sk] } = this.order;
    if (voxels === null) {
      let n = 0;
      for (let k = 0; k < nz; k++) for (let j = 0; j < ny; j++) for (let i = 0; i < nx; i++) target[start + i * si + j * sj + k * sk] = this.labels[n++]!;
    } else {
      for (const n of voxels) target[start + (n % nx) * si + (Math.floor(n / nx) % ny) * sj + Math.floor(n / (nx * ny)) * sk] = this.labels[n]!;
    }
    // A pointer may move several times between two frames.
    if (this.isDue) return;
    this.isDue = true;
    requestAnimationFrame(() => {
      this.isDue = false;
      if (this.isOpen) this.nv.refreshDrawing(true);
    });
  }

  /** NiiVue's colour table, as for a layer of labels. */
  setColours(colours: object): void {
    this.nv.setDrawColormap(colours as unknown as string); // the types know names of colour tables only
  }

  setOpacity(opacity: number): void {
    this.nv.setDrawOpacity(opacity);
  }

  labelAt([i, j, k]: Dims): number {
    return this.labels[i + this.grid.dims[0] * (j + this.grid.dims[1] * k)] ?? 0;
  }

  close(): void {
    this.isOpen = false;
    this.nv.closeDrawing();
  }
}

/** The slice under a place of the canvas, in CSS pixels from its top left corner; null where none is. */
export function pointAt(nv: Niivue, { affineVox2ras, dims }: Grid, x: number, y: number): PicturePoint | null {
  const { dpr } = nv.uiData;
  const field = nv.tileIndex(x * dpr!, y * dpr!);
  const slice = nv.screenSlices[field];
  const across = slice === undefined ? undefined : ACROSS[slice.axCorSag];
  if (across === undefined) return null;
  const frac = nv.screenXY2TextureFrac(x * dpr!, y * dpr!, field);
  if (frac[0] < 0) return null;
  const sliceAxis = nativeAxis(nv.volumes[0]!, across);
  const mm = Array.from(nv.frac2mm(frac, 0, true)).slice(0, 3) as unknown as Dims;
  const voxel = apply(invert(affineVox2ras), mm).map((value, axis) => (axis === sliceAxis ? Math.min(dims[axis] - 1, Math.max(0, Math.round(value))) : value)) as unknown as Dims;
  return { voxel, sliceAxis, field };
}

/** CSS pixels of a length in mm on the slice of this field. */
export function pixelsOf(nv: Niivue, field: number, lengthMm: number): number {
  const { leftTopWidthHeight, fovMM } = nv.screenSlices[field]!;
  return (Math.abs(leftTopWidthHeight[2]!) / Math.abs(fovMM[0]!) / nv.uiData.dpr!) * lengthMm;
}

/** The scan's voxel axis that is nearest to left-right (0), back-front (1) or feet-head (2). */
export function nativeAxis(image: NVImage, ras: Axis): Axis {
  return (Math.abs(image.permRAS![ras]!) - 1) as Axis;
}

/** Where the scan's voxels lie in NiiVue's order. */
export interface VoxelOrder {
  /** Place of voxel (0, 0, 0). */
  readonly start: number;
  /** Steps along i, j and k. */
  readonly steps: Dims;
}

/** `permRas`: of each reoriented axis the scan's axis from 1, negative where it runs backwards. */
export function voxelOrder(permRas: readonly number[], dims: Dims): VoxelOrder {
  const steps = [0, 0, 0];
  let [start, stride] = [0, 1];
  for (const signed of permRas.slice(0, 3)) {
    const axis = Math.abs(signed) - 1;
    steps[axis] = signed < 0 ? -stride : stride;
    if (signed < 0) start += stride * (dims[axis]! - 1);
    stride *= dims[axis]!;
  }
  return { start, steps: steps as unknown as Dims };
}
