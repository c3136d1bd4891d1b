// File names that say labels. Twin of the rule in meshnet/scan/label_files.py.

/** Ending of the names of masks and segmentations: BIDS, BraTS (-seg), ISLES (_msk), ARC (_lesion), SynthSeg. */
const ENDING = /(?:(?:^|[_-])(?:mask|msk|dseg|probseg|seg|segmentation|labels?|roi)|(?:^|_)lesions?|_synthseg)$/i;
/** The entity that BIDS has for labels. */
const ENTITY = '_label-';
/** FreeSurfer's segmentations, under their names or as the ending of another one. */
const FREESURFER = /(?:^|[_-])(?:[lr]h\.)?(?:aseg|aparc|wmparc|ribbon)(?:[.+][a-z0-9.+]*)?$|^filled(?:\..*)?$/i;
/** SPM's and CAT12's tissue maps are called c1SCAN to c6SCAN, with letters in front for what was done to them. */
const TISSUE_MAP = /^(?:m?w?|r)(?:c|p)[0-6](?=[A-Za-z])(.+)$/;

/** Whether a file name (without extensions) is that of a label file. */
export function namesLabels(stem: string): boolean {
  return ENDING.test(stem) || stem.toLowerCase().includes(ENTITY) || FREESURFER.test(stem);
}

/** The name (without extensions) of the scan that SPM's map of a tissue was made of; empty for another name. */
export function mapsTissueOf(stem: string): string {
  return TISSUE_MAP.exec(stem)?.[1] ?? '';
}
