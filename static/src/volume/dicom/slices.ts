// The slice of a DICOM series for each plane of the converted scan. Twin of meshnet/scan/dicom_slices.py. Slices are matched
// by their position in space, never by their order; of several volumes in one series, by their pixels.
import type { Affine, Dims, VoxelArray } from '../volume';
import { readPixels } from './pixels';
import { pixelsOf, planeOnGrid } from './planes';
import type { PlaneOnGrid } from './planes';
import type { DicomImage, DicomSeries, SlicePlace } from './types';

/** A slice of the series with its plane. `frame`: from 0, of a multi-frame image; null of a single-frame one. */
export interface PlacedSlice {
  readonly image: DicomImage;
  readonly frame: number | null;
  readonly place: SlicePlace;
  readonly plane: PlaneOnGrid;
}

const OTHERWISE = 'save the labels as NIfTI instead.';

/** One slice for each plane of the scan's grid, lowest index first; frames of a multi-frame image in its order. `voxels` reads
 * the scan, i fastest: it is called where several slices lie in one plane. Rejects with a sentence for the visitor where
 * slices and grid do not match. */
export async function findSlices(series: DicomSeries, dims: Dims, affineVox2ras: Affine, voxels: () => Promise<VoxelArray>): Promise<PlacedSlice[]> {
  const planes = slicesByPlane(series, dims, affineVox2ras);
  const hasOneVolume = planes.every((slices) => slices.length === 1);
  const chosen = hasOneVolume ? planes.map(([slice]) => slice!) : await ofScan(planes, await voxels());
  return chosen[0]!.frame === null ? chosen : chosen.sort((one, other) => one.frame! - other.frame!);
}

/** All slices in each plane of the grid, the first volume's first. Throws an Error where a plane has none. */
function slicesByPlane(series: DicomSeries, dims: Dims, affineVox2ras: Affine): PlacedSlice[][] {
  if (series.frameOfReferenceUid === '') throw new Error(`DICOM-SEG needs a Frame of Reference UID, which the slices lack; ${OTHERWISE}`);
  const all = series.images.flatMap((image) =>
    image.frames.map((place, n) => ({ image, frame: image.frames.length > 1 ? n : null, place, plane: planeOnGrid(image, place, dims, affineVox2ras) })));
  const placed = all.filter((slice): slice is PlacedSlice => slice.plane !== null);
  if (placed.length === 0) {
    throw new Error(`None of the series’ ${all.length} slices lies on the grid of the converted scan, ${dims.join(' × ')} voxels: dcm2niix may have resampled it; ${OTHERWISE}`);
  }
  const { axis } = placed[0]!.plane;
  const planes = Array.from({ length: dims[axis]! }, (_, index) =>
    placed.filter(({ plane }) => plane.axis === axis && plane.index === index).sort((one, other) => one.image.instanceNumber - other.image.instanceNumber));
  const missing = planes.filter((slices) => slices.length === 0).length;
  if (missing > 0) {
    const first = planes.findIndex((slices) => slices.length === 0);
    throw new Error(`${missing} of the converted scan’s ${planes.length} slices have no slice in the DICOM series, the first is slice ${first}: dcm2niix may have resampled it; ${OTHERWISE}`);
  }
  return planes;
}

/** Of each plane the slice that has the scan's pixels. Where several have them, as empty slices do, the one at the place that
 * the scan's other slices have among the slices of their planes. */
async function ofScan(planes: readonly (readonly PlacedSlice[])[], voxels: VoxelArray): Promise<PlacedSlice[]> {
  const alike: number[][] = [];
  for (const slices of planes) alike.push(slices.length === 1 ? [0] : await placesWithPixels(slices, voxels));
  const places = new Set(alike.filter((found, n) => found.length === 1 && planes[n]!.length > 1).map(([place]) => place!));
  return planes.map((slices, n) => {
    const found = alike[n]!.length === 1 || places.size !== 1 ? alike[n]! : alike[n]!.filter((place) => places.has(place));
    if (found.length === 1) return slices[found[0]!]!;
    throw new Error(`${slices.length} slices of the series lie in one plane, and ${alike[n]!.length} of them have the pixels of the scan; drop the files of one volume alone, or ${OTHERWISE}`);
  });
}

/** Places among these slices of those whose pixels, as stored or rescaled, are those of the scan in their plane. */
async function placesWithPixels(slices: readonly PlacedSlice[], voxels: VoxelArray): Promise<number[]> {
  const found: number[] = [];
  for (const [place, { image, frame, place: { rescale: [slope, intercept] }, plane }] of slices.entries()) {
    const stored = await readPixels(image, frame ?? 0);
    if (stored === null) {
      throw new Error(`The series has several volumes, and its pixels are compressed, so that the page cannot tell which slices are this scan’s. meshnet-predict --dicom-seg can; here, ${OTHERWISE}`);
    }
    const expected = pixelsOf(voxels, plane, image.rows, image.columns);
    if (isClose(stored, expected, 1, 0) || isClose(stored, expected, slope, intercept)) found.push(place);
  }
  return found;
}

/** The tolerances of meshnet/scan/dicom_slices.py. */
function isClose(stored: VoxelArray, expected: VoxelArray, slope: number, intercept: number): boolean {
  for (let n = 0; n < expected.length; n++) {
    if (Math.abs(stored[n]! * slope + intercept - expected[n]!) > 1e-3 + 1e-4 * Math.abs(expected[n]!)) return false;
  }
  return true;
}
