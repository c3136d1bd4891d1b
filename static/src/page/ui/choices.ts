// Several scans that were dropped together: files, or the series of a DICOM study.
import { mapsTissueOf, namesLabels } from '../../volume/label-names';
import { say } from '../texts/message';
import type { Message } from '../texts/message';
import { stemOf } from './format';
import { pathOf } from './paths';

export interface Choice {
  /** One file, or a header with the file of its voxels (.hdr and .img). */
  readonly files: readonly File[];
  /** A reason to choose it, or not to; null where there is none. */
  readonly hint: Message | null;
  /** Whether it is left out where all are opened: an image that dcm2niix made of it takes its place, or it is one slice. */
  readonly replaced: boolean;
}

export interface Offer {
  readonly choices: readonly Choice[];
  /** Names of masks and segmentations that lay beside the scans. */
  readonly masks: readonly string[];
  /** Number of other files beside them, such as .json and .tsv. */
  readonly others: number;
  /** Sentences on DICOM series that could not be converted. */
  readonly faults: readonly Message[];
}

/** The scans among these image files, in the order of their paths; masks are left out, unless there is nothing else.
 * `others`: number of files beside them. */
export function offerOf(files: readonly File[], others = 0): Offer {
  const pairs = new Map<string, File[]>();
  for (const file of files) {
    const key = /\.(hdr|img|nhdr|mhd|z?raw)(\.gz)?$/i.test(file.name) ? stemOf(pathOf(file)) : `${file.name}\n${pairs.size}`;
    pairs.set(key, [...(pairs.get(key) ?? []), file]);
  }
  // Where folders are unknown and names repeat, every file stands alone, and the reader says what it lacks.
  const groups = [...pairs.values()].flatMap((group) => (group.length <= 2 ? [group] : group.map((file) => [file])));
  const stems = new Set(files.map(({ name }) => stemOf(name)));
  const isMask = ([first]: readonly File[]): boolean => /\.seg\.nrrd$/i.test(first!.name) || namesLabels(stemOf(first!.name)) || stems.has(mapsTissueOf(stemOf(first!.name)));
  const scans = groups.filter((group) => !isMask(group));
  const kept = scans.length > 0 ? scans : groups;
  const sorted = [...kept].sort(([a], [b]) => pathOf(a!).localeCompare(pathOf(b!), 'en', { numeric: true }));
  return {
    choices: sorted.map((group) => ({ files: group, hint: null, replaced: false })),
    others,
    faults: [],
    masks: groups.filter((group) => !kept.includes(group)).map(([first]) => first!.name),
  };
}

/** The choices that are listed when all are opened. */
export function allOf({ choices }: Offer): readonly Choice[] {
  return choices.filter(({ replaced }) => !replaced);
}

/** Sentences on the files that are not opened; empty where all are. */
export function leftOutText({ masks, others, faults }: Pick<Offer, 'masks' | 'others' | 'faults'>): readonly Message[] {
  const names = masks.slice(0, 3).join(', ');
  return [
    ...faults,
    masks.length === 0 ? null : masks.length <= 3 ? say('open.masks', { names }) : say('open.masksMore', { names, n: masks.length - 3 }),
    others === 0 ? null : say('open.others', { n: others }),
  ].filter((sentence) => sentence !== null);
}

/** dcm2niix's endings of images that it resampled: even slice spacing, gantry tilt removed. */
export const RESAMPLED = /_(Tilt_Eq|Tilt|Eq)(_\d+)?$/;
const HINTS: Readonly<Record<string, readonly [resampled: Message, original: Message]>> = {
  Eq: [say('open.even'), say('open.uneven')],
  Tilt: [say('open.untilted'), say('open.tilted')],
  Tilt_Eq: [say('open.untiltedEven'), say('open.tiltedUneven')],
};

/** Converted series, the largest first, and last those that dcm2niix also resampled and single slices beside other series. */
export async function offerSeries(volumes: readonly File[]): Promise<Choice[]> {
  const flat = new Set<File>();
  for (const file of volumes) if (await isSingleSlice(file)) flat.add(file);
  const resampledOf = new Map<string, string>();
  for (const { name } of volumes) {
    const found = RESAMPLED.exec(stemOf(name));
    if (found !== null) resampledOf.set(stemOf(name).slice(0, found.index), found[1]!);
  }
  const rated = volumes.map((file) => {
    const stem = stemOf(file.name);
    const own = RESAMPLED.exec(stem)?.[1];
    const other = resampledOf.get(stem);
    if (flat.has(file) && flat.size < volumes.length) return { files: [file], hint: say('open.oneSlice'), replaced: true };
    const hint = own !== undefined ? HINTS[own]![0] : other !== undefined ? HINTS[other]![1] : null;
    return { files: [file], hint, replaced: own === undefined && other !== undefined };
  });
  return rated.sort((a, b) => Number(a.replaced) - Number(b.replaced) || b.files[0]!.size - a.files[0]!.size);
}

/** Whether dim[3] of a NIfTI-1 file that dcm2niix wrote is 1. */
async function isSingleSlice(file: File): Promise<boolean> {
  const head = new Uint8Array(await file.slice(0, 48).arrayBuffer());
  return head.length === 48 && new DataView(head.buffer).getInt16(46, true) === 1;
}
