// The synthetic scans that come with the page, one per contrast.
import { TextError } from '../texts/language';
import { say } from '../texts/message';

/** The sample of a contrast that the model was made for. Throws an Error with a sentence for the visitor. */
export async function fetchSample(modality: readonly string[]): Promise<File> {
  const name = modality.includes('T2w') ? 'sample_T2w.nii.gz' : 'sample_T1w.nii.gz';
  const response = await fetch(`sample/${name}`);
  if (!response.ok) throw new TextError(say('open.sampleFailed', { status: String(response.status) }));
  return new File([await response.blob()], name);
}
