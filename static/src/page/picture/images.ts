// Scans and labels in NiiVue's form.
import { NVImage } from '@niivue/niivue';
import type { Niivue } from '@niivue/niivue';
import type { Label } from '../../generated/model-spec';
import type { DisplayVolume } from '../../worker/protocol';

/**
 * NiiVue's colour table; labels that are not visible are transparent. At an edge NiiVue mixes the colours of both sides, so
 * that hidden tissue takes the colour of a visible label.
 */
export function colours(labels: readonly Label[], visible: readonly number[]): Parameters<NVImage['setColormapLabel']>[0] {
  const drawn = labels.find(({ index }) => visible.includes(index));
  const of = labels.map((label) => (label.index === 0 || drawn === undefined || visible.includes(label.index) ? label.color : drawn.color));
  return {
    R: of.map(([r]) => r),
    G: of.map(([, g]) => g),
    B: of.map(([, , b]) => b),
    A: labels.map(({ index }) => (visible.includes(index) ? 255 : 0)),
    I: labels.map(({ index }) => index),
    labels: labels.map(({ name }) => name),
  };
}

/** NIfTI datatype codes. */
const DATATYPES = [
  [Uint8Array, 2],
  [Int16Array, 4],
  [Uint16Array, 512],
  [Float32Array, 16],
] as const;

/** The volume as NiiVue draws it: a NIfTI file in memory. */
export function toImage(volume: DisplayVolume, name: string, colormap: string, opacity: number): Promise<NVImage> {
  const datatype: number = DATATYPES.find(([type]) => volume.data instanceof type)![1];
  const affine = [...volume.affineVox2ras];
  const sizeMm = [0, 1, 2].map((column) => Math.hypot(affine[column]!, affine[4 + column]!, affine[8 + column]!));
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- NiiVue does not export its enum of these codes
  const bytes = NVImage.createNiftiArray([...volume.dims], sizeMm, affine, datatype, volume.data);
  return NVImage.loadFromUrl({ url: bytes.buffer as ArrayBuffer, name: `${name}.nii`, colormap, opacity });
}

/** Sets the opacity of the labels, layer 1. NiiVue's own `setOpacity` also uploads the scan again, which takes seconds without a graphics card. */
export function setLabelOpacity(nv: Niivue, opacity: number): void {
  const [, labels] = nv.volumes;
  if (labels === undefined) return;
  labels.opacity = opacity;
  for (let layer = 1; layer < nv.volumes.length; layer++) nv.refreshLayers(nv.volumes[layer]!, layer);
  nv.drawScene();
}
