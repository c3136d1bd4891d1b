// Saving the labels and the table of volumes of the shown result.
import type { Session } from '../session';
import { isBusy, restingKind } from '../state';
import { notesOfResult, outcomeRequest, shownResult, shownStudy } from '../studies';
import type { Result, Study } from '../studies';
import type { DicomSeries } from '../../volume/dicom/types';
import { sha256OfFiles } from '../../volume/sidecar';
import { dicomSeriesOf } from '../ui/dicom';
import { dicomSegName, probabilityName, savedName, sidecarName, tableName } from '../ui/format';
import { sidecarOfResult } from '../ui/results-json';
import { saveAsDownload, saveInFolder } from '../ui/saving';
import { volumesCsv } from '../ui/table';
import { textOf } from '../texts/language';
import { say } from '../texts/message';
import type { Text } from '../texts/message';
import { withOutcome } from './edit';

/** `withJson`: with the JSON of docs/sidecar.md beside them. */
export async function saveLabels(session: Session, space: 'native' | 'conformed', withJson: boolean): Promise<void> {
  const study = shownStudy(session.state);
  const result = shownResult(study);
  if (study?.facts == null || result === null) return;
  const grid = space === 'native' ? say('save.isNative') : say('save.isConformed');
  const request = { ...outcomeRequest(study, result), space, allLabels: session.state.cleaning.allLabels };
  const { version, cleaning: { allLabels } } = session.state;
  const beside = async (labelsName: string): Promise<NamedContent> => {
    const sidecar = sidecarOfResult(study, await withOutcome(session, study, result), { version, allLabels, space }, new Date(), await sha256OfFiles(study.source.files));
    return { name: sidecarName(labelsName), content: new TextEncoder().encode(`${JSON.stringify(sidecar, null, 2)}\n`) };
  };
  const content = async (): Promise<Uint8Array> => (await session.idleClient.call('save', request)).bytes;
  const saved = await write(session, savedName(study.facts.summary, result, space), grid, content, withJson ? beside : null);
  if (saved) markSaved(session, [result.id]);
}

/** The labels as DICOM-SEG on the slices of the series that the scan was converted from. */
export async function saveDicomSeg(session: Session): Promise<void> {
  const study = shownStudy(session.state);
  const result = shownResult(study);
  const series = study === null ? null : dicomSeriesOf(study.source.files[0]!);
  if (study?.facts == null || result === null || series === null) return;
  const saved = await write(session, dicomSegName(study.facts.summary, result), say('save.isDicomSeg'), () => encodedDicomSeg(session, study, result, series));
  if (saved) markSaved(session, [result.id]);
}

/** The result as a DICOM-SEG file. Rejects with a sentence where the slices of the series do not match the scan. */
export async function encodedDicomSeg(session: Session, study: Study, result: Result, series: DicomSeries): Promise<Uint8Array> {
  const { id, name, task, labels, weights } = result.spec;
  const model = { id, name, task, labels, weightsSha256: weights.sha256 };
  const { cleaning: { allLabels }, version } = session.state;
  return (await session.idleClient.call('dicomSeg', { ...outcomeRequest(study, result), scan: study.source, allLabels, series, model, version })).bytes;
}

/** The probability of the lesion on the scan's own grid. */
export async function saveProbability(session: Session): Promise<void> {
  const study = shownStudy(session.state);
  const result = shownResult(study);
  if (study?.facts == null || result === null) return;
  const request = outcomeRequest(study, result);
  await write(session, probabilityName(study.facts.summary, result), say('save.isProbability'), async () => (await session.idleClient.call('probability', request)).bytes);
}

export async function saveTable(session: Session): Promise<void> {
  const study = shownStudy(session.state);
  const result = shownResult(study);
  if (study?.facts == null || result === null) return;
  const scan = study.facts.summary;
  const saved = await write(session, tableName(scan, result), say('save.isTable'), async () => {
    const measured = await withOutcome(session, study, result);
    return new TextEncoder().encode(volumesCsv(scan.name, result.spec.id, measured.outcome, result.spec.labels, savedName(scan, result, 'native'), notesOfResult(study, measured)));
  });
  if (saved) markSaved(session, [result.id]);
}

/** From now on a reload does not ask about these results. */
export function markSaved(session: Session, resultIds: readonly number[]): void {
  const studies = session.state.studies.map((study) => ({ ...study, results: study.results.map((result) => (resultIds.includes(result.id) ? { ...result, saved: true } : result)) }));
  session.change({ studies });
}

interface NamedContent {
  readonly name: string;
  readonly content: Uint8Array;
}

/**
 * A kiosk saves where the visitor chooses, and leaves nothing among the downloads. `beside`: a second file in the same place,
 * by the name that the first one got there. Returns whether the file was saved.
 */
export async function write(session: Session, name: string, what: Text, content: () => Promise<Uint8Array | Blob>, beside: ((savedName: string) => Promise<NamedContent>) | null = null): Promise<boolean> {
  const saver = session.state.kiosk === null ? saveAsDownload : saveInFolder;
  try {
    // The place first: browsers let a page ask for it only right after the click.
    const save = await saver(name);
    if (save === null) return false;
    const saved = await save(await content());
    const second = beside === null ? null : await beside(saved.name);
    if (second !== null) await save(second.content, second.name);
    if (!isBusy(session.state)) session.enter(restingKind(session.state), second === null ? say('save.saved', { ...saved, what }) : say('save.savedTwo', { ...saved, second: second.name, what }));
    return true;
  } catch (error) {
    // A run that was started meanwhile goes on.
    if (isBusy(session.state)) session.say({ remark: say('save.notSaved', { name, reason: textOf(error) }) });
    else session.fail(error);
    return false;
  }
}
