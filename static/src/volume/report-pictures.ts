// Pictures of a report: slices of the conformed scan with the labels outlined. Twin of meshnet/infer/report/pictures.py,
// pixel by pixel.
import type { ModelSpec } from '../generated/model-spec';
import { apply, invert, voxelSizeMm } from './affine';
import { contextIndices, lesionIndices, shownIndices } from './label-roles';
import { labelsToNative } from './native';
import { encodePng } from './png';
import type { Dims, Volume } from './volume';

export type Plane = 'axial' | 'coronal' | 'sagittal';
type Triple = readonly [number, number, number];
type Described = Pick<ModelSpec, 'task' | 'labels'>;

/** One slice. The patient's left is on the left; in a sagittal slice the front is. */
export interface Picture {
  readonly plane: Plane;
  /** World x, z or y (RAS) of a sagittal, axial or coronal slice. */
  readonly positionMm: number;
  readonly width: number;
  readonly height: number;
  readonly png: Uint8Array;
  /** Pixel (column, row) of the lesion's centre. */
  readonly at: readonly [number, number] | null;
}

export interface Pictures {
  readonly mmPerPixel: number;
  /** Of each pictured lesion: axial, coronal, sagittal. */
  readonly lesions: readonly (readonly Picture[])[];
  /** Axial, the lowest first. */
  readonly mosaic: readonly Picture[];
}

/** Lesions that are pictured, the largest first. */
export const MOST_PICTURED = 8;
/** Slices of the mosaic. */
const TILES = 24;
/** The mosaic reaches this far beyond what is labelled: a brain, or a lesion alone. */
const [BEYOND_BRAIN_MM, BEYOND_LESION_MM] = [5, 40];
/** Grey levels of a picture; the palette's other entries are labels. */
const GREYS = 128;
/** The level that becomes white: this many per mille of the voxels that are not 0 are at most as bright. */
const WHITE_PER_MILLE = 995;
/** Grey level (of GREYS) from which a voxel counts as head, and the least share of such voxels in a plane of the head. */
const [HEAD_LEVEL, HEAD_SHARE] = [16, 0.01];
/** Voxels around the head. */
const MARGIN = 4;

const PLANES = ['axial', 'coronal', 'sagittal'] as const;

/** Slices of a scan in LIA order through the first MOST_PICTURED of these places, and a mosaic. */
export function makePictures(spec: Described, conformed: Volume<Uint8Array>, native: Volume<Uint8Array>, centresRasMm: readonly Triple[]): Pictures {
  const { dims, affineVox2ras } = conformed;
  const labels = labelsToNative(native, dims, affineVox2ras);
  const mmPerPixel = voxelSizeMm(affineVox2ras)[0];
  const grey = greyLevels(conformed.data);
  const box = cropBox(grey, labels, dims);
  const entries = paletteEntries(spec);
  const marks = labels.map((label) => entries[label]!);
  const palette = paletteOf(spec);
  const picture = (plane: Plane, voxel: Triple, marked: boolean): Picture => {
    const { pixels, width, height, at } = slicePixels(grey, marks, dims, box, plane, voxel);
    const positionMm = apply(affineVox2ras, voxel)[{ sagittal: 0, axial: 2, coronal: 1 }[plane]]!;
    return { plane, positionMm, width, height, png: encodePng(pixels, width, height, palette), at: marked ? at : null };
  };
  const inverse = invert(affineVox2ras);
  const voxels = centresRasMm.slice(0, MOST_PICTURED).map((centre) => apply(inverse, centre).map((n, axis) => Math.min(dims[axis]! - 1, Math.max(0, Math.floor(n + 0.5)))) as unknown as Triple);
  const beyondMm = lesionIndices(spec).length > 0 && contextIndices(spec).length === 0 ? BEYOND_LESION_MM : BEYOND_BRAIN_MM;
  return {
    mmPerPixel,
    lesions: voxels.map((voxel) => PLANES.map((plane) => picture(plane, voxel, true))),
    mosaic: mosaicPlanes(labels, dims, box, Math.floor(beyondMm / mmPerPixel)).map((j) => picture('axial', [0, j, 0], false)),
  };
}

/** 0 … GREYS − 1; the brightest 0.5 % of the voxels that are not 0 are white. */
function greyLevels(conformed: Uint8Array): Uint8Array {
  const counts = new Float64Array(256);
  for (let n = 0; n < conformed.length; n++) counts[conformed[n]!]!++;
  counts[0] = 0;
  const total = counts.reduce((sum, count) => sum + count, 0);
  let [white, below] = [0, 0];
  for (; white < 255; white++) {
    below += counts[white]!;
    if (1000 * below >= WHITE_PER_MILLE * total) break;
  }
  white = Math.max(1, white);
  const table = Uint8Array.from({ length: 256 }, (_, grey) => Math.min(GREYS - 1, Math.floor((grey * GREYS) / (white + 1))));
  return conformed.map((grey) => table[grey]!);
}

/** The palette's entry of each label 0 … 255; 0 for those that are not outlined. */
function paletteEntries(spec: Described): Uint8Array {
  const entries = new Uint8Array(256);
  for (const [n, index] of shownIndices(spec).entries()) entries[index] = GREYS + (n % (256 - GREYS));
  return entries;
}

function paletteOf(spec: Described): Uint8Array {
  const palette = new Uint8Array(768);
  for (let level = 0; level < GREYS; level++) palette.fill(Math.floor((level * 255) / (GREYS - 1)), 3 * level, 3 * level + 3);
  for (const [n, index] of shownIndices(spec).slice(0, 256 - GREYS).entries()) palette.set(spec.labels[index]!.color, 3 * (GREYS + n));
  return palette;
}

interface Range {
  readonly first: number;
  readonly last: number;
}

/** First and last plane along each axis of the head with what is labelled, and a margin. */
function cropBox(grey: Uint8Array, labels: Uint8Array, dims: Dims): readonly [Range, Range, Range] {
  const bright = dims.map((size) => new Float64Array(size));
  const labelled = dims.map((size) => new Uint8Array(size));
  const [nx, ny, nz] = dims;
  for (let n = 0, z = 0; z < nz; z++) {
    for (let y = 0; y < ny; y++) {
      for (let x = 0; x < nx; x++, n++) {
        if (grey[n]! >= HEAD_LEVEL) {
          bright[0]![x]!++;
          bright[1]![y]!++;
          bright[2]![z]!++;
        }
        if (labels[n] !== 0) labelled[0]![x] = labelled[1]![y] = labelled[2]![z] = 1;
      }
    }
  }
  return dims.map((size, axis): Range => {
    const planes = Array.from({ length: size }, (_, n) => n).filter((n) => bright[axis]![n]! >= HEAD_SHARE * (grey.length / size) || labelled[axis]![n] !== 0);
    const [first, last] = [planes[0] ?? 0, planes.at(-1) ?? size - 1];
    return { first: Math.max(0, first - MARGIN), last: Math.min(size - 1, last + MARGIN) };
  }) as unknown as [Range, Range, Range];
}

/** Indices j of up to TILES axial slices, the lowest first. `beyond`: planes on both sides of the labels. */
function mosaicPlanes(labels: Uint8Array, [nx, ny, nz]: Dims, box: readonly Range[], beyond: number): number[] {
  let { first: top, last: bottom } = box[1]!;
  const labelled: number[] = [];
  for (let y = 0; y < ny; y++) {
    for (let z = 0; z < nz; z++) {
      const row = nx * (y + ny * z);
      if (labels.subarray(row, row + nx).some((label) => label !== 0)) {
        labelled.push(y);
        break;
      }
    }
  }
  if (labelled.length > 0) [top, bottom] = [Math.max(top, labelled[0]! - beyond), Math.min(bottom, labelled.at(-1)! + beyond)];
  return [...new Set(Array.from({ length: TILES }, (_, n) => Math.floor(bottom + ((top - bottom) * n) / (TILES - 1) + 0.5)))];
}

interface Slice {
  readonly pixels: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** Column and row of the voxel. */
  readonly at: readonly [number, number];
}

/** Pixels of the slice through a voxel, cropped; `marks`: the palette's entry of each voxel's label. */
function slicePixels(grey: Uint8Array, marks: Uint8Array, [nx, ny]: Dims, [bi, bj, bk]: readonly [Range, Range, Range], plane: Plane, [i, j, k]: Triple): Slice {
  // Column and row to voxel: left on the left, front or top at the top, and the front of a sagittal slice on the left.
  const voxelAt = {
    axial: (column: number, row: number) => bi.last - column + nx * (j + ny * (bk.last - row)),
    coronal: (column: number, row: number) => bi.last - column + nx * (bj.first + row + ny * k),
    sagittal: (column: number, row: number) => i + nx * (bj.first + row + ny * (bk.last - column)),
  }[plane];
  const at = { axial: [bi.last - i, bk.last - k], coronal: [bi.last - i, j - bj.first], sagittal: [bk.last - k, j - bj.first] }[plane] as [number, number];
  const across = plane === 'sagittal' ? bk : bi;
  const down = plane === 'axial' ? bk : bj;
  const [width, height] = [across.last - across.first + 1, down.last - down.first + 1];
  const mark = (column: number, row: number): number => (column < 0 || row < 0 || column >= width || row >= height ? 0 : marks[voxelAt(column, row)]!);
  const pixels = new Uint8Array(width * height);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const own = mark(column, row);
      // One pixel wide, also between two areas.
      const isEdge = own > 0 && (own !== mark(column - 1, row) || own !== mark(column, row - 1) || mark(column + 1, row) === 0 || mark(column, row + 1) === 0);
      pixels[row * width + column] = isEdge ? own : grey[voxelAt(column, row)]!;
    }
  }
  return { pixels, width, height, at };
}
