// Labels → a DICOM Segmentation (PS3.3, A.51) on the slices of the series that the scan was converted from. The same object
// as highdicom writes for `meshnet-predict --dicom-seg` (meshnet/infer/dicom_seg.py); tests hold the two against each other.
import type { Label, ModelSpec } from '../../generated/model-spec';
import { shownIndices } from '../label-roles';
import { dicomLab } from './cielab';
import { at, encodeFile, sequence, text, ul, us } from './elements';
import type { DataSetOf, Element } from './elements';
import { numbers, pixelsOf } from './planes';
import { codesOf } from './segment-codes';
import type { Code } from './segment-codes';
import type { PlacedSlice } from './slices';
import type { DicomSeries } from './types';

/** The model, as the file names it. */
export type SegmentedBy = Pick<ModelSpec, 'id' | 'name' | 'task' | 'labels'> & { readonly weightsSha256: string };

export interface SegmentationOptions {
  /** With the tissue around the lesion. */
  readonly allLabels: boolean;
  /** Whether the labels were changed by hand: the algorithm then counts as semi-automatic. */
  readonly isEdited: boolean;
  /** Of this software. */
  readonly version: string;
  readonly now: Date;
}

const SEGMENTATION_STORAGE = '1.2.840.10008.5.1.4.1.1.66.4';
const EXPLICIT_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
/** Added to the series number of the scan, so that a viewer lists the segmentation as another series. */
const SERIES_NUMBER_OFFSET = 9000;
/** Characters of a DICOM long string (LO). */
const LONGEST_LO = 64;

/** Bytes of the file. `labels`: on the scan's grid, i fastest. `slices`: one for each plane of the grid, from `findSlices`. */
export function encodeSegmentation(labels: Uint8Array, slices: readonly PlacedSlice[], series: DicomSeries, model: SegmentedBy, options: SegmentationOptions): Uint8Array {
  const segments = segmentLabels(model, options.allLabels);
  const { frames, pixels } = framesOf(labels, slices, segments);
  const instance = newUid();
  const { date, time } = dicomTime(options.now);
  const { rows, columns } = slices[0]!.image;
  const references = [...new Set(slices.map(({ image }) => image))].map(referenceTo);
  const meta = [
    { tag: 0x00020001, vr: 'OB', value: Uint8Array.of(0, 1) },
    text(0x00020002, 'UI', SEGMENTATION_STORAGE),
    text(0x00020003, 'UI', instance),
    text(0x00020010, 'UI', EXPLICIT_LITTLE_ENDIAN),
    text(0x00020012, 'UI', IMPLEMENTATION),
    text(0x00020013, 'SH', `MeshNet ${options.version}`.slice(0, 16)),
  ];
  return encodeFile(meta, [
    ...series.study,
    text(0x00080008, 'CS', 'DERIVED', 'PRIMARY'),
    text(0x00080012, 'DA', date),
    text(0x00080013, 'TM', time),
    text(0x00080016, 'UI', SEGMENTATION_STORAGE),
    text(0x00080018, 'UI', instance),
    text(0x00080023, 'DA', date),
    text(0x00080033, 'TM', time),
    text(0x00080060, 'CS', 'SEG'),
    text(0x00080070, 'LO', 'MeshNet'),
    text(0x0008103e, 'LO', `${model.name} (MeshNet)`.slice(0, LONGEST_LO)),
    text(0x00081090, 'LO', model.id.slice(0, LONGEST_LO)),
    sequence(0x00081115, [sequence(0x0008114a, ...references), text(0x0020000e, 'UI', series.seriesUid)]),
    sequence(0x00082112, ...references),
    text(0x00181000, 'LO', model.weightsSha256.slice(0, LONGEST_LO)),
    text(0x00181020, 'LO', options.version),
    text(0x0020000e, 'UI', newUid()),
    text(0x00200011, 'IS', String(series.seriesNumber + SERIES_NUMBER_OFFSET)),
    text(0x00200013, 'IS', '1'),
    text(0x00200052, 'UI', series.frameOfReferenceUid),
    text(0x00201040, 'LO', ''),
    ...dimensions(newUid()),
    us(0x00280002, 1),
    text(0x00280004, 'CS', 'MONOCHROME2'),
    text(0x00280008, 'IS', String(frames.length)),
    us(0x00280010, rows),
    us(0x00280011, columns),
    us(0x00280100, 1),
    us(0x00280101, 1),
    us(0x00280102, 0),
    us(0x00280103, 0),
    text(0x00282110, 'CS', '00'),
    text(0x00620001, 'CS', 'BINARY'),
    sequence(0x00620002, ...segments.map((label, n) => segment(n + 1, label, model, options))),
    text(0x00620013, 'CS', 'NO'),
    text(0x00700080, 'CS', 'MESHNET'),
    text(0x00700081, 'LO', model.name.slice(0, LONGEST_LO)),
    text(0x20500020, 'CS', 'IDENTITY'),
    sequence(0x52009229, shared(slices)),
    sequence(0x52009230, ...frames.map(frameGroups)),
    { tag: 0x7fe00010, vr: 'OB', value: pixels },
  ]);
}

const IMPLEMENTATION = '2.25.152236463384937423113062873937204935961';

/** The labels that become segments 1, 2, …: those of the saved NIfTI file, without background. */
export function segmentLabels(model: Pick<ModelSpec, 'labels'>, allLabels: boolean): Label[] {
  const shown = shownIndices(model);
  return model.labels.filter(({ index }) => index > 0 && (allLabels || shown.includes(index)));
}

/** A frame: one segment on one slice. */
interface Frame {
  readonly segment: number;
  /** Place of the slice in that order, from 1, among the slices with a segment. */
  readonly position: number;
  readonly slice: PlacedSlice;
}

/** The frames that are not empty, segment by segment in the order of `inOrder`, and their pixels, one bit each. Without any voxel every
 * frame is kept, because a segmentation has to have one. */
function framesOf(labels: Uint8Array, slices: readonly PlacedSlice[], segments: readonly Label[]): { frames: Frame[]; pixels: Uint8Array } {
  const { rows, columns } = slices[0]!.image;
  const all = inOrder(slices).map((slice) => {
    const plane = pixelsOf(labels, slice.plane, rows, columns);
    return { slice, plane, has: labelsIn(plane) };
  });
  const filled = all.filter(({ has }) => segments.some(({ index }) => has[index] === 1));
  const kept = filled.length === 0 ? all : filled;
  const frames = segments.flatMap(({ index }, n) =>
    kept
      .map(({ slice, plane, has }, place) => ({ segment: n + 1, position: place + 1, slice, plane, index, isEmpty: has[index] !== 1 }))
      .filter(({ isEmpty }) => filled.length === 0 || !isEmpty));
  // Bits run on from frame to frame, the lowest bit first (PS3.5, 8.1.1).
  const size = rows * columns;
  const pixels = new Uint8Array(Math.ceil((frames.length * size) / 8));
  for (const [n, { plane, index }] of frames.entries()) {
    for (let pixel = 0, bit = n * size; pixel < size; pixel++, bit++) {
      if (plane[pixel] === index) pixels[bit >>> 3]! |= 1 << (bit & 7);
    }
  }
  return { frames, pixels };
}

/** 1 at each label that a slice has. */
function labelsIn(pixels: Uint8Array): Uint8Array {
  const has = new Uint8Array(256);
  for (let n = 0; n < pixels.length; n++) has[pixels[n]!] = 1;
  return has;
}

/** The slices in highdicom's order: along the vector product of a column's and a row's direction. */
function inOrder(slices: readonly PlacedSlice[]): PlacedSlice[] {
  const [a, b, c, d, e, f] = numbers(slices[0]!.place.orientation) as [number, number, number, number, number, number];
  const normal = [e * c - f * b, f * a - d * c, d * b - e * a];
  const distance = ({ place }: PlacedSlice): number => numbers(place.position).reduce((sum, x, n) => sum + x * normal[n]!, 0);
  return [...slices].sort((one, other) => distance(one) - distance(other));
}

function referenceTo({ sopClassUid, sopInstanceUid }: PlacedSlice['image']): DataSetOf {
  return [text(0x00081150, 'UI', sopClassUid), text(0x00081155, 'UI', sopInstanceUid)];
}

/** Frames are ordered by segment, then by position. */
function dimensions(organization: string): Element[] {
  const dimension = (pointer: number, group: number, label: string): DataSetOf => [
    text(0x00209164, 'UI', organization),
    at(0x00209165, pointer),
    at(0x00209167, group),
    text(0x00209421, 'LO', label),
  ];
  return [
    sequence(0x00209221, [text(0x00209164, 'UI', organization)]),
    sequence(0x00209222, dimension(0x0062000b, 0x0062000a, 'Referenced Segment Number'), dimension(0x00200032, 0x00209113, 'Image Position Patient')),
  ];
}

function segment(number: number, label: Label, model: SegmentedBy, { version, isEdited }: SegmentationOptions): DataSetOf {
  const { category, type, region } = codesOf(label, model.task);
  const name = model.name.slice(0, LONGEST_LO);
  return [
    ...(region === null ? [] : [coded(0x00082218, region)]),
    coded(0x00620003, category),
    us(0x00620004, number),
    text(0x00620005, 'LO', label.name.slice(0, LONGEST_LO)),
    sequence(0x00620007, [
      text(0x00240202, 'LO', 'MeshNet'),
      coded(0x0066002f, ['123110', 'Artificial Intelligence'], 'DCM'),
      text(0x00660031, 'LO', `MeshNet ${version}, weights ${model.weightsSha256.slice(0, 12)}`),
      text(0x00660036, 'LO', name),
    ]),
    text(0x00620008, 'CS', isEdited ? 'SEMIAUTOMATIC' : 'AUTOMATIC'),
    text(0x00620009, 'LO', name),
    us(0x0062000d, ...dicomLab(label.color)),
    coded(0x0062000f, type),
  ];
}

function coded(tag: number, [value, meaning]: Code, scheme = 'SCT'): Element {
  return sequence(tag, [text(0x00080100, 'SH', value), text(0x00080102, 'SH', scheme), text(0x00080104, 'LO', meaning)]);
}

/** Orientation and sizes, which all frames share. */
function shared(slices: readonly PlacedSlice[]): DataSetOf {
  const { orientation, spacing, thickness } = slices[0]!.place;
  return [
    sequence(0x00209116, [text(0x00200037, 'DS', orientation)]),
    sequence(0x00289110, [
      text(0x00180050, 'DS', thickness ?? decimal(sliceDistance(slices))),
      text(0x00180088, 'DS', decimal(sliceDistance(slices))),
      text(0x00280030, 'DS', spacing),
    ]),
  ];
}

/** Mean distance between neighbouring slices in mm. */
function sliceDistance(slices: readonly PlacedSlice[]): number {
  const ordered = inOrder(slices);
  const [first, last] = [ordered[0]!, ordered.at(-1)!].map(({ place }) => numbers(place.position)) as [number[], number[]];
  return Math.hypot(...first.map((x, n) => last[n]! - x)) / Math.max(1, slices.length - 1);
}

/** A number as DICOM's decimal string: 16 characters at most. */
function decimal(value: number): string {
  return String(Number(value.toPrecision(12))).slice(0, 16);
}

function frameGroups({ segment: number, position, slice: { image, frame, place } }: Frame): DataSetOf {
  const source = [
    ...referenceTo(image),
    ...(frame === null ? [] : [text(0x00081160, 'IS', String(frame + 1))]),
    text(0x0028135a, 'CS', 'YES'),
    coded(0x0040a170, ['121322', 'Source image for image processing operation'], 'DCM'),
  ];
  return [
    sequence(0x00089124, [sequence(0x00082112, source), coded(0x00089215, ['113076', 'Segmentation'], 'DCM')]),
    sequence(0x00209111, [ul(0x00209157, number, position)]),
    sequence(0x00209113, [text(0x00200032, 'DS', place.position)]),
    sequence(0x0062000a, [us(0x0062000b, number)]),
  ];
}

/** A UID from a random UUID (PS3.5, B.2). `crypto.randomUUID` is missing where a page is served without TLS. */
function newUid(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40; // version 4
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return `2.25.${bytes.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)}`;
}

/** Local date and time. */
function dicomTime(now: Date): { date: string; time: string } {
  const two = (value: number): string => String(value).padStart(2, '0');
  return {
    date: `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`,
    time: two(now.getHours()) + two(now.getMinutes()) + two(now.getSeconds()),
  };
}
