// DICOM headers → the facts that a segmentation needs. By dicom-parser (Cornerstone's reader), which is fetched only where
// DICOM was opened.
import { parseDicom } from 'dicom-parser';
import type { DataSet } from 'dicom-parser';
import type { DicomImage, DicomSeries, RawElement, SlicePlace, StoredPixels } from './types';

/** Attributes of patient and study that the segmentation has too; those that may be empty (type 2) are written in any case. */
const STUDY: readonly (readonly [tag: number, vr: string, isRequired: boolean])[] = [
  [0x00080005, 'CS', false],
  [0x00080020, 'DA', true],
  [0x00080030, 'TM', true],
  [0x00080050, 'SH', true],
  [0x00080090, 'PN', true],
  [0x00100010, 'PN', true],
  [0x00100020, 'LO', true],
  [0x00100030, 'DA', true],
  [0x00100040, 'CS', true],
  [0x0020000d, 'UI', true],
  [0x00200010, 'SH', true],
];

/** Headers are read in steps of this size: most slices' fit into the first. */
const FIRST_BYTES = 2 ** 17;
/** More than the header of any image. */
const MOST_BYTES = 2 ** 26;

/** The series of these files (each with preamble and mark), without files that have no place in space. */
export async function readSeries(files: readonly Blob[]): Promise<DicomSeries[]> {
  const found = new Map<string, Omit<DicomSeries, 'images'> & { images: DicomImage[] }>();
  for (const file of files) {
    const header = await readHeader(file);
    const image = header === null ? null : imageOf(header, file);
    if (header === null || image === null) continue;
    const seriesUid = text(header, 'x0020000e') ?? '';
    let series = found.get(seriesUid);
    if (series === undefined) {
      series = {
        seriesUid,
        frameOfReferenceUid: text(header, 'x00200052') ?? '',
        seriesNumber: header.intString('x00200011') ?? 0,
        study: studyOf(header),
        images: [],
      };
      found.set(seriesUid, series);
    }
    series.images.push(image);
  }
  return [...found.values()].map((series) => (hasSeveralVolumes(series) ? series : { ...series, images: series.images.map((image) => ({ ...image, file: null })) }));
}

/** Whether slices lie in the same place, as those of several echoes, b-values or times do. */
function hasSeveralVolumes({ images }: Pick<DicomSeries, 'images'>): boolean {
  const places = images.flatMap(({ frames }) => frames.map(({ position, orientation }) => `${position} ${orientation}`));
  return new Set(places).size < places.length;
}

/** The data set up to the pixels; null where the file cannot be read. */
async function readHeader(file: Blob): Promise<DataSet | null> {
  for (let length = FIRST_BYTES; length <= MOST_BYTES; length *= 8) {
    const bytes = new Uint8Array(await file.slice(0, length).arrayBuffer());
    try {
      const header = parseDicom(bytes, { untilTag: 'x7fe00010' });
      if (header.elements.x7fe00010 !== undefined || bytes.length === file.size) return header;
    } catch {
      // An element is cut off: more bytes are needed, or the file is damaged.
    }
    if (bytes.length === file.size) return null;
  }
  return null;
}

function imageOf(header: DataSet, file: Blob): DicomImage | null {
  const [rows, columns] = [header.uint16('x00280010'), header.uint16('x00280011')];
  const [sopClassUid, sopInstanceUid] = [text(header, 'x00080016'), text(header, 'x00080018')];
  if (rows === undefined || columns === undefined || sopClassUid === null || sopInstanceUid === null) return null;
  const perFrame = header.elements.x52009230?.items;
  const frames = perFrame === undefined
    ? [placeOf(header, header, header, header)]
    : perFrame.map(({ dataSet }) => {
        const groups = [dataSet, header.elements.x52009229?.items?.[0]?.dataSet];
        const group = (tag: string): DataSet | undefined => groups.map((held) => held?.elements[tag]?.items?.[0]?.dataSet).find((item) => item !== undefined);
        const [position, orientation, measures] = [group('x00209113'), group('x00209116'), group('x00289110')];
        return position === undefined || orientation === undefined || measures === undefined ? null : placeOf(position, orientation, measures, group('x00289145') ?? header);
      });
  if (!frames.every((frame) => frame !== null)) return null;
  return { sopClassUid, sopInstanceUid, rows, columns, frames, instanceNumber: header.intString('x00200013') ?? 0, file, pixels: pixelsIn(header) };
}

const BIG_ENDIAN = '1.2.840.10008.1.2.2';

function pixelsIn(header: DataSet): StoredPixels | null {
  const pixels = header.elements.x7fe00010;
  const bits = header.uint16('x00280100');
  // Compressed pixels have no defined length (PS3.5, A.4).
  if (pixels === undefined || pixels.hadUndefinedLength === true || pixels.encapsulatedPixelData === true) return null;
  if (bits !== 8 && bits !== 16 && bits !== 32) return null;
  return { offset: pixels.dataOffset, bitsAllocated: bits, isSigned: header.uint16('x00280103') === 1, littleEndian: text(header, 'x00020010') !== BIG_ENDIAN };
}

function placeOf(position: DataSet, orientation: DataSet, measures: DataSet, values: DataSet): SlicePlace | null {
  const found = [text(position, 'x00200032'), text(orientation, 'x00200037'), text(measures, 'x00280030')] as const;
  if (found[0] === null || found[1] === null || found[2] === null) return null;
  return { position: found[0], orientation: found[1], spacing: found[2], thickness: text(measures, 'x00180050'), rescale: [values.floatString('x00281053') ?? 1, values.floatString('x00281052') ?? 0] };
}

function studyOf(header: DataSet): RawElement[] {
  return STUDY.flatMap(([tag, vr, isRequired]) => {
    const element = header.elements[`x${tag.toString(16).padStart(8, '0')}`];
    if (element === undefined) return isRequired ? [{ tag, vr, value: new Uint8Array() }] : [];
    return [{ tag, vr, value: Uint8Array.from(header.byteArray.subarray(element.dataOffset, element.dataOffset + element.length)) }];
  });
}

/** The element's text, all values of it, without padding; null where it is missing or empty. */
function text(header: DataSet, tag: string): string | null {
  const element = header.elements[tag];
  if (element === undefined || element.length === 0) return null;
  const bytes = header.byteArray.subarray(element.dataOffset, element.dataOffset + element.length);
  return String.fromCharCode(...bytes).replace(/[\0 ]+$/, '').trim() || null;
}
