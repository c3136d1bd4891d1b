// The labels that are being edited, in the picture: NiiVue's drawing layer. NiiVue keeps it in its own reoriented voxel order; here every
// voxel has its index on the scan's own grid. NiiVue's refreshDrawing uploads the whole volume, so that a change is uploaded here, as
// the box around it, into NiiVue's public `drawTexture`.
import { cmapper } from '@niivue/niivue';
import type { Niivue, NVImage } from '@niivue/niivue';
import type { Label } from '../../generated/model-spec';
import { apply, invert } from '../../volume/affine';
import type { Axis, Grid } from '../../volume/brush';
import type { Dims } from '../../volume/volume';
import { setLabelOpacity } from './images';

/** A place on a slice of the picture. */
export interface PicturePoint {
  /** On the scan's grid, with fractions within the slice and a whole number across it. */
  readonly voxel: Dims;
  /** The voxel axis across the slice. */
  readonly sliceAxis: Axis;
  /** Number of the slice's field in the picture. */
  readonly field: number;
}

/** Voxels from `min` to `max` inclusive. */
export interface Box {
  readonly min: Dims;
  readonly max: Dims;
}

/** Axis of NiiVue's reoriented voxels across an axial, coronal or sagittal slice. */
const ACROSS: readonly Axis[] = [2, 1, 0];

export class Drawing {
  private readonly order: VoxelOrder;
  /** In NiiVue's order. */
  private readonly dims: Dims;
  /** To be uploaded at the next frame, in NiiVue's order; null where nothing is. */
  private due: Box | null = null;
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
    this.dims = nv.volumes[0]!.permRAS!.slice(0, 3).map((signed) => grid.dims[Math.abs(signed) - 1]!) as unknown as Dims;
    setLabelOpacity(nv, 0);
    nv.createEmptyDrawing();
    this.setColours(colours);
    this.setOpacity(opacity);
    this.update(null);
  }

  /** Draws changed labels: those of these voxels, or all of them. */
  update(voxels: ArrayLike<number> | null): void {
    const target = this.nv.drawBitmap!;
    const [nx, ny, nz] = this.grid.dims;
    const { start, steps: [si, sj, sk] } = this.order;
    const isWaiting = this.due !== null;
    if (voxels === null) {
      let n = 0;
      for (let k = 0; k < nz; k++) for (let j = 0; j < ny; j++) for (let i = 0; i < nx; i++) target[start + i * si + j * sj + k * sk] = this.labels[n++]!;
      this.due = { min: [0, 0, 0], max: this.dims.map((size) => size - 1) as unknown as Dims };
    } else {
      const places = Float64Array.from(voxels, (n) => start + (n % nx) * si + (Math.floor(n / nx) % ny) * sj + Math.floor(n / (nx * ny)) * sk);
      for (let n = 0; n < places.length; n++) target[places[n]!] = this.labels[voxels[n]!]!;
      this.due = boxAround(places, this.dims, this.due);
    }
    // A pointer may move several times between two frames.
    if (isWaiting || this.due === null) return;
    requestAnimationFrame(() => { this.upload(); });
  }

  private upload(): void {
    const box = this.due;
    this.due = null;
    if (!this.isOpen || box === null) return;
    uploadBox(this.nv, this.dims, box);
    this.nv.drawScene();
  }

  /** NiiVue's colour table, as for a layer of labels. Its own `setDrawColormap` also uploads scan and labels again. */
  setColours(colours: object): void {
    this.nv.drawLut = cmapper.makeDrawLut(colours as unknown as string); // the types know names of colour tables only
    this.nv.refreshColormaps();
    this.nv.drawScene();
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

/** The box around the voxels at these places of an array of `dims`, and around `other`; null where there is nothing. */
export function boxAround(places: ArrayLike<number>, [nx, ny]: Dims, other: Box | null): Box | null {
  const min = [...(other?.min ?? [Infinity, Infinity, Infinity])] as [number, number, number];
  const max = [...(other?.max ?? [-1, -1, -1])] as [number, number, number];
  for (let n = 0; n < places.length; n++) {
    const place = places[n]!;
    const [x, y, z] = [place % nx, Math.floor(place / nx) % ny, Math.floor(place / (nx * ny))];
    if (x < min[0]) min[0] = x;
    if (y < min[1]) min[1] = y;
    if (z < min[2]) min[2] = z;
    if (x > max[0]) max[0] = x;
    if (y > max[1]) max[1] = y;
    if (z > max[2]) max[2] = z;
  }
  return max[0] < 0 ? null : { min, max };
}

/** Texture unit of NiiVue's drawing layer. */
const DRAWING_UNIT = 7;

/** Uploads a box of NiiVue's drawing, an array of `dims`, into its texture. */
function uploadBox({ gl, drawTexture, drawBitmap }: Niivue, [nx, ny]: Dims, { min, max }: Box): void {
  gl.activeTexture(gl.TEXTURE0 + DRAWING_UNIT);
  gl.bindTexture(gl.TEXTURE_3D, drawTexture);
  const skips = [[gl.UNPACK_ROW_LENGTH, nx], [gl.UNPACK_IMAGE_HEIGHT, ny], [gl.UNPACK_SKIP_PIXELS, min[0]], [gl.UNPACK_SKIP_ROWS, min[1]], [gl.UNPACK_SKIP_IMAGES, min[2]]] as const;
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
  for (const [name, value] of skips) gl.pixelStorei(name, value);
  gl.texSubImage3D(gl.TEXTURE_3D, 0, ...min, max[0] - min[0] + 1, max[1] - min[1] + 1, max[2] - min[2] + 1, gl.RED, gl.UNSIGNED_BYTE, drawBitmap);
  for (const [name] of skips) gl.pixelStorei(name, 0);
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
