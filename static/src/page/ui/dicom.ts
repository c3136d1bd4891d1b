// DICOM files → NIfTI files, by dcm2niix in WebAssembly: the reference converter of the field, kept by NiiVue's and
// dcm2niix's own authors. It is fetched only when DICOM is dropped, and its worker is ended after each conversion, so that
// nothing of a patient stays in it.

const PREAMBLE_BYTES = 128;

/** Files whose names do not say what they are, as scans: one per DICOM series, the largest first. `from`, the folder they
 * came from, becomes part of the names, because series of one protocol have the same names. A single file that is not
 * DICOM is returned unchanged; the reader names its fault. `onConvert` gets the number of DICOM files. Throws an Error
 * with a sentence for the visitor. */
export async function seriesOf(files: readonly File[], from: string | null, onConvert: (count: number) => void): Promise<readonly File[]> {
  const dicom = await findDicom(files);
  if (dicom.length > 0) {
    onConvert(dicom.length);
    const series = await convertDicom(dicom);
    return from === null ? series : series.map((file) => new File([file], `${from}_${file.name}`));
  }
  if (files.length === 1) return files;
  throw new Error(`Got ${files.length} files that are neither NIfTI nor DICOM (${files[0]!.name} …); give one .nii, .nii.gz or .mgz, or the folder of a DICOM series.`);
}

/** The files whose content is DICOM; names are arbitrary in this format. */
export async function findDicom(files: readonly File[]): Promise<File[]> {
  const magic = await Promise.all(files.map((file) => file.slice(PREAMBLE_BYTES, PREAMBLE_BYTES + 4).text()));
  return files.filter((_, n) => magic[n] === 'DICM');
}

/** Exit codes of dcm2niix (nii_dicom_batch.h) other than success. */
const FAILURES: Readonly<Record<number, string>> = {
  2: 'it finds no image in them',
  8: 'some of them are damaged',
  10: 'slices are missing; drop the whole folder of the series',
};

/** One NIfTI file per series, the largest first. Throws an Error with a sentence for the visitor. */
async function convertDicom(files: readonly File[]): Promise<File[]> {
  const { Dcm2niix } = await import('@niivue/dcm2niix');
  const converter = new Dcm2niix();
  try {
    await converter.init();
    // Named by series number and description; no sidecar files; neither cropped nor rotated.
    const converted = await converter.input(numbered(files)).f('%s_%d').b('n').z('n').x('i').run();
    const volumes = converted.filter(({ name }) => name.endsWith('.nii')).sort((a, b) => b.size - a.size);
    if (volumes.length === 0) throw new Error('exit code 2');
    return volumes;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const code = /exit code (\d+)/.exec(message);
    const reason = code === null ? message : (FAILURES[Number(code[1])] ?? `dcm2niix ends with code ${code[1]!}`);
    throw new Error(`${files.length === 1 ? files[0]!.name : `${files.length} DICOM files`}: could not be converted (${reason}). Convert them with dcm2niix on this computer and drop the .nii.gz.`);
  } finally {
    converter.worker?.terminate();
  }
}

/** Folders of a study repeat the same names; the converter puts all files into one folder. */
function numbered(files: readonly File[]): File[] {
  return files.map((file, n) => new File([file], `${n}.dcm`));
}
