// The viewer: what is in the picture and how it is looked at. Only the modules of this folder use NiiVue. The viewer gets plain
// arrays on the scan's own grid; the worker reads the files, so that the scan shown is the scan that is segmented.
import { SHOW_RENDER, SLICE_TYPE } from '@niivue/niivue';
import type { Niivue, NVImage } from '@niivue/niivue';
import type { DisplayVolume } from '../../worker/protocol';
import type { Label } from '../../generated/model-spec';
import { apply, invert } from '../../volume/affine';
import type { Axis } from '../../volume/brush';
import { attach, isSoftware } from './canvas';
import { Drawing, nativeAxis, pixelsOf, pointAt } from './drawing';
import type { PicturePoint } from './drawing';
import { colours, setLabelOpacity, toImage } from './images';

export type View = 'both' | 'slices' | 'axial' | 'coronal' | 'sagittal' | 'render';

/** Position of the crosshair, with the scan's value and label there. */
export interface Location {
  /** RAS+ millimetres. */
  readonly positionMm: Triple;
  readonly voxel: Triple;
  readonly intensity: number;
  readonly label: Label | null;
}

type Triple = readonly [number, number, number];

const SLICE_TYPES: Readonly<Record<View, SLICE_TYPE>> = {
  both: SLICE_TYPE.MULTIPLANAR,
  slices: SLICE_TYPE.MULTIPLANAR,
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
  render: SLICE_TYPE.RENDER,
};

/** Of the probability over scan and labels. */
const PROBABILITY_OPACITY = 0.75;

/** Key → steps to the right, up, and through the slices. */
const KEYS: Readonly<Record<string, Triple>> = {
  ArrowLeft: [-1, 0, 0],
  ArrowRight: [1, 0, 0],
  ArrowDown: [0, -1, 0],
  ArrowUp: [0, 1, 0],
  PageDown: [0, 0, -1],
  PageUp: [0, 0, 1],
};

export class Viewer {
  private labels: readonly Label[] = [];
  /** Indices of the labels in the picture. */
  private visible: readonly number[] = [];
  private opacity = 0.6;
  private view: View = 'slices';
  private affineVox2ras: DisplayVolume['affineVox2ras'] = [];
  private dims: Triple = [0, 0, 0];
  /** Labels that are being edited; they replace the layer of labels. Null where none are. */
  private drawing: Drawing | null = null;
  onLocation: (location: Location) => void = () => undefined;

  /** The picture could not be brought back after the graphics device was lost. */
  onLost: (error: unknown) => void = () => undefined;

  private constructor(
    private nv: Niivue,
    canvas: HTMLCanvasElement,
    /** Ray casting takes seconds a frame on a software WebGL, so the page then starts without it. */
    readonly firstView: View,
  ) {
    this.connect(nv, canvas);
    this.setView(firstView);
  }

  /** Rejects where the browser has no WebGL2. */
  static async open(canvas: HTMLCanvasElement): Promise<Viewer> {
    let viewer: Viewer | null = null;
    const nv = await attach(canvas, (key) => viewer?.pressKey(key) === true);
    viewer = new Viewer(nv, canvas, isSoftware(nv.gl) ? 'slices' : 'both');
    return viewer;
  }

  private connect(nv: Niivue, canvas: HTMLCanvasElement): void {
    this.nv = nv;
    nv.onLocationChange = (): void => {
      this.reportLocation();
    };
    canvas.addEventListener('webglcontextlost', () => {
      this.reopen(canvas).catch((error: unknown) => { this.onLost(error); });
    });
  }

  /** After the graphics device was lost, for example at a driver's reset: the same picture on a new canvas. */
  private async reopen(lost: HTMLCanvasElement): Promise<void> {
    const { volumes, scene, opts } = this.nv;
    const canvas = lost.cloneNode() as HTMLCanvasElement;
    lost.replaceWith(canvas);
    this.connect(await attach(canvas, (key) => this.pressKey(key)), canvas);
    this.setRadiological(opts.isRadiologicalConvention);
    this.setView(this.view);
    for (const volume of volumes) this.nv.addVolume(volume);
    this.nv.scene.crosshairPos = scene.crosshairPos;
    if (this.drawing !== null) this.edit(this.drawing.labels, this.drawing.names, this.visible);
    this.redraw();
  }

  /** Shows a scan, with contrast between its 2 % and 98 % quantiles, and removes the labels of the scan before. */
  async showScan(scan: DisplayVolume): Promise<void> {
    const image = await toImage(scan, 'scan', 'gray', 1);
    this.endEdit();
    this.labels = [];
    for (const volume of [...this.nv.volumes].reverse()) this.nv.removeVolume(volume);
    this.nv.addVolume(image);
    [this.affineVox2ras, this.dims] = [scan.affineVox2ras, scan.dims];
    this.nv.scene.crosshairPos = [0.5, 0.5, 0.5];
    this.nv.setScale(1);
    this.redraw();
  }

  /** Removes scan and labels. */
  clear(): void {
    this.endEdit();
    this.labels = [];
    for (const volume of [...this.nv.volumes].reverse()) this.nv.removeVolume(volume);
    this.nv.drawScene();
  }

  /** Overlays labels in the model's own colours; label 0 is transparent. A probability over the labels before goes, unless it is that of the same result. */
  async showLabels(overlay: DisplayVolume<Uint8Array>, labels: readonly Label[], visible: readonly number[], isSameResult = false): Promise<void> {
    const image = await toImage(overlay, 'labels', 'gray', this.opacity);
    const probability = isSameResult ? this.nv.volumes[2] : undefined;
    this.clearLabels();
    this.labels = labels;
    this.visible = visible;
    image.setColormapLabel(colours(labels, visible));
    this.nv.addVolume(image);
    if (probability !== undefined) this.nv.addVolume(probability);
    this.redraw();
  }

  /** Draws these labels (indices) only. */
  setVisible(visible: readonly number[]): void {
    this.visible = visible;
    this.drawing?.setColours(colours(this.labels, visible));
    const image = this.nv.volumes[1];
    if (image === undefined) return;
    image.setColormapLabel(colours(this.labels, visible));
    this.nv.updateGLVolume();
    this.redraw();
  }

  /** Lays a probability (0…255) over scan and labels, 0 transparent; null takes it away. */
  async showProbability(overlay: DisplayVolume<Uint8Array> | null): Promise<void> {
    const image = overlay === null ? null : await toImage(overlay, 'probability', 'warm', PROBABILITY_OPACITY);
    for (const volume of this.nv.volumes.slice(2).reverse()) this.nv.removeVolume(volume);
    if (image !== null) {
      [image.cal_min, image.cal_max] = [1, 255];
      this.nv.addVolume(image);
    }
    this.redraw();
  }

  clearLabels(): void {
    this.endEdit();
    this.labels = [];
    for (const volume of this.nv.volumes.slice(1).reverse()) this.nv.removeVolume(volume);
    this.redraw();
  }

  /** 0 (labels hidden) … 1. */
  setOpacity(opacity: number): void {
    this.opacity = opacity;
    if (this.drawing !== null) this.drawing.setOpacity(opacity);
    else setLabelOpacity(this.nv, opacity);
  }

  /** Shows labels that are being edited, [z][y][x] on the scan's grid, instead of the layer of labels, until another layer is shown. */
  edit(labels: Uint8Array, names: readonly Label[], visible: readonly number[]): void {
    [this.labels, this.visible] = [names, visible];
    const { affineVox2ras } = this;
    this.drawing = new Drawing(this.nv, { dims: this.dims, affineVox2ras }, labels, names, colours(names, visible), this.opacity);
    this.reportLocation();
  }

  /** Draws labels that were changed since: those of these voxels, or all of them. */
  redrawEdit(voxels: ArrayLike<number> | null): void {
    this.drawing?.update(voxels);
    this.reportLocation();
  }

  /** Takes the edited labels out of the picture. The layer below stays hidden: callers remove it. */
  private endEdit(): void {
    this.drawing?.close();
    this.drawing = null;
  }

  /** The slice under a place of the canvas (CSS pixels from its top left corner); null where none is. */
  pointAt(x: number, y: number): PicturePoint | null {
    return this.nv.volumes.length === 0 ? null : pointAt(this.nv, { dims: this.dims, affineVox2ras: this.affineVox2ras }, x, y);
  }

  /** CSS pixels of a length in mm at a place of the picture. */
  pixelsOf({ field }: PicturePoint, lengthMm: number): number {
    return pixelsOf(this.nv, field, lengthMm);
  }

  /** The voxel under the crosshair and the voxel axis across the slice that arrow keys move in. */
  crosshair(): { readonly voxel: Triple; readonly sliceAxis: Axis } {
    const ras = this.view === 'coronal' ? 1 : this.view === 'sagittal' ? 0 : 2;
    return { voxel: this.crosshairVoxel(), sliceAxis: nativeAxis(this.nv.volumes[0]!, ras) };
  }

  /** The scan's values [z][y][x], and their range in the picture at first. */
  intensity(): { readonly values: ArrayLike<number>; readonly range: number } {
    const scan = this.nv.volumes[0]!;
    return { values: scan.img as ArrayLike<number>, range: scan.robust_max! - scan.robust_min! };
  }

  setView(view: View): void {
    this.view = view;
    this.nv.opts.multiplanarShowRender = view === 'both' ? SHOW_RENDER.ALWAYS : SHOW_RENDER.NEVER;
    this.nv.setSliceType(SLICE_TYPES[view]);
  }

  /** True: the patient's right on the left of the picture. */
  setRadiological(isRadiological: boolean): void {
    this.nv.setRadiologicalConvention(isRadiological);
  }

  /**
   * Moves the crosshair by a voxel (turns the head in 3-D); false for a key without a meaning here. Arrow keys go the way they
   * point on the slice; with several slices in view that is the axial one.
   */
  pressKey(key: string): boolean {
    const step = KEYS[key];
    if (step === undefined || this.nv.volumes.length === 0) return false;
    const [right, up, through] = step;
    const { scene } = this.nv;
    const across = this.nv.opts.isRadiologicalConvention ? -right : right;
    if (this.view === 'render') this.nv.setRenderAzimuthElevation(scene.renderAzimuth + 10 * right, scene.renderElevation + 10 * up);
    else if (this.view === 'coronal') this.nv.moveCrosshairInVox(across, through, up);
    else if (this.view === 'sagittal') this.nv.moveCrosshairInVox(through, right, up);
    else this.nv.moveCrosshairInVox(across, up, through);
    this.redraw();
    return true;
  }

  /** Moves the crosshair to a voxel of the scan. */
  goTo(voxel: Triple): void {
    // By millimetres: NiiVue's own voxel indices count along its reoriented copy.
    this.nv.scene.crosshairPos = this.nv.mm2frac(apply(this.affineVox2ras, voxel), 0, true);
    this.redraw();
  }

  private redraw(): void {
    this.nv.drawScene();
    this.reportLocation();
  }

  private crosshairVoxel(): Triple {
    const mm = Array.from(this.nv.frac2mm(this.nv.scene.crosshairPos, 0, true)).slice(0, 3) as unknown as Triple;
    return apply(invert(this.affineVox2ras), mm).map((value, axis) => Math.min(this.dims[axis]! - 1, Math.max(0, Math.round(value)))) as unknown as Triple;
  }

  private reportLocation(): void {
    const [scan, overlay] = this.nv.volumes;
    if (scan === undefined) return;
    const mm = this.nv.frac2mm(this.nv.scene.crosshairPos, 0, true);
    const valueAt = (image: NVImage): number => {
      const [i, j, k] = image.mm2vox([...mm]) as Triple;
      return image.getValue(i, j, k);
    };
    const voxel = this.crosshairVoxel();
    const index = this.drawing?.labelAt(voxel) ?? (overlay === undefined ? null : valueAt(overlay));
    this.onLocation({
      positionMm: Array.from(mm).slice(0, 3) as unknown as Triple,
      voxel,
      intensity: valueAt(scan),
      label: this.labels.find((label) => label.index === index) ?? null,
    });
  }
}
