// A scan's contrast as its file name or header says it. Twin of meshnet/infer/run_notes.py.

const SUFFIXES = ['T1w', 'T2w', 'FLAIR', 'PDw', 'T2star', 'T2starw', 'bold', 'dwi', 'asl', 'swi', 'CT', 'angio', 'T1map', 'T2map'];

/** BIDS suffix of the file name ("…_T2w.nii.gz"), else a contrast named in its parts or in the header; null where there is none. */
export function guessModality(fileName: string, headerText: string): string | null {
  const words = [...fileName.replace(/(\.(nii|hdr|img|mgh|mgz))?(\.gz)?$/i, '').split(/[^A-Za-z0-9]+/).reverse(), ...headerText.split(/[^A-Za-z0-9]+/)];
  for (const word of words) {
    const suffix = SUFFIXES.find((s) => s.toLowerCase() === word.toLowerCase());
    if (suffix !== undefined) return suffix;
    if (/^t1$/i.test(word) || /mprage/i.test(word)) return 'T1w';
    if (/^t2$/i.test(word)) return 'T2w';
  }
  return null;
}

/** Whether a model for the contrasts `wanted` suits a scan of this contrast; an unknown contrast, or none wanted, suits. */
export function suits(contrast: string | null, wanted: readonly string[]): boolean {
  return contrast === null || wanted.length === 0 || wanted.some((w) => w.toLowerCase() === contrast.toLowerCase());
}
