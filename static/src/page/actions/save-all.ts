// Saving what the list holds: the table of all scans, or a zip with masks, tables and a description.
import { messageOf } from '../../engine/message';
import type { DicomSeries } from '../../volume/dicom/types';
import type { Session } from '../session';
import { isBusy, restingKind } from '../state';
import { isUnmeasured, notesOfResult, outcomeRequest, removalOf, withMeasured, withStudy } from '../studies';
import type { Result, Study } from '../studies';
import { dicomSeriesOf } from '../ui/dicom';
import { dicomSegName, savedName } from '../ui/format';
import { sha256OfFiles } from '../../volume/sidecar';
import { resultsJson } from '../ui/results-json';
import type { DicomSegInZip } from '../ui/results-json';
import { summaryCsv, summaryOf } from '../ui/summary';
import { openSummary } from '../ui/summary-dialog';
import { csvLine, VOLUME_COLUMNS, volumeRows } from '../ui/table';
import { ZipWriter } from '../ui/zip-writer';
import { say } from '../texts/message';
import { refresh, restingText } from './look';
import { encodedDicomSeg, markSaved, write } from './save';

/** Shows the table of all scans. */
export async function showTable(session: Session): Promise<void> {
  if (isBusy(session.state)) return;
  await cleanAll(session);
  openSummary(session.state.studies);
}

export async function saveSummary(session: Session): Promise<void> {
  if (isBusy(session.state)) return;
  const saved = await write(session, 'meshnet-table.csv', say('save.isSummary'), async () => {
    await cleanAll(session);
    return new TextEncoder().encode(summaryCsv(summaryOf(session.state.studies)));
  });
  if (saved) markSaved(session, session.state.studies.flatMap(({ results }) => results.map(({ id }) => id)));
}

/** One zip: every mask on its scan's own grid, for a scan that came as DICOM also as DICOM-SEG, both tables, and a JSON file that describes how each result was made. */
export async function saveAll(session: Session): Promise<void> {
  if (isBusy(session.state)) return;
  let inside: readonly number[] = [];
  const saved = await write(session, 'meshnet-results.zip', say('save.isAll'), async () => {
    await cleanAll(session);
    // A queue may go on: the zip holds what there is now.
    const { studies, version } = session.state;
    const all = studies.flatMap((study) => study.results.map((result): [Study, Result] => [study, result]));
    inside = all.map(([, { id }]) => id);
    return await zipOf(session, studies, all, version);
  });
  if (saved) markSaved(session, inside);
}

async function zipOf(session: Session, studies: readonly Study[], all: readonly (readonly [Study, Result])[], version: string): Promise<Blob> {
  const zip = new ZipWriter();
  const files = new Map<number, string>();
  const segmentations = new Map<number, DicomSegInZip>();
  const digests = new Map<number, string | null>();
  const rows: (readonly (string | number)[])[] = [];
  for (const [n, [study, result]] of all.entries()) {
    session.enter('loading', say('save.masks', { at: n + 1, n: all.length }));
    const { bytes } = await session.idleClient.call('save', { ...outcomeRequest(study, result), space: 'native', allLabels: session.state.cleaning.allLabels });
    const { summary } = study.facts!;
    const name = zip.freeName(folderOf(study) + savedName(summary, result, 'native'));
    zip.add(name, bytes);
    files.set(result.id, name);
    const series = dicomSeriesOf(study.source.files[0]!);
    if (series !== null) segmentations.set(result.id, await addDicomSeg(session, zip, study, result, series));
    if (!digests.has(study.source.id)) digests.set(study.source.id, await sha256OfFiles(study.source.files));
    rows.push(...volumeRows(study.name, result.spec.id, result.outcome, result.spec.labels, name, notesOfResult(study, result)));
  }
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  zip.add('volumes.csv', text([VOLUME_COLUMNS, ...rows].map(csvLine).join('')));
  zip.add('table.csv', text(summaryCsv(summaryOf(studies))));
  zip.add('results.json', text(resultsJson(studies, { files, segmentations, digests }, { version, allLabels: session.state.cleaning.allLabels }, new Date())));
  session.enter(restingKind(session.state), restingText(session.state));
  const missing = [...segmentations.values()].flatMap(({ reason }) => (reason === null ? [] : [reason]));
  if (missing.length > 0) session.say({ remark: say('save.noDicomSeg', { n: missing.length, reason: missing[0]! }) });
  return zip.finish();
}

/** Adds the result as DICOM-SEG to the zip. Where the slices do not match the scan the zip goes without, and results.json has the reason. */
async function addDicomSeg(session: Session, zip: ZipWriter, study: Study, result: Result, series: DicomSeries): Promise<DicomSegInZip> {
  try {
    const bytes = await encodedDicomSeg(session, study, result, series);
    const file = zip.freeName(folderOf(study) + dicomSegName(study.facts!.summary, result));
    zip.add(file, bytes);
    return { file, reason: null };
  } catch (error) {
    return { file: null, reason: messageOf(error) };
  }
}

/** The folder of a scan whose file name alone would not tell it apart; ends in a slash where there is one. */
function folderOf({ name }: Study): string {
  return name.slice(0, name.lastIndexOf('/') + 1);
}

/** Measures every result with the cleaning that is set: one table has one rule. Edited results keep theirs. */
export async function cleanAll(session: Session): Promise<void> {
  await refresh(session);
  const { cleaning } = session.state;
  const due = session.state.studies.flatMap((study) => study.results.filter((result) => isUnmeasured(result, cleaning)).map((result) => [study, result] as const));
  for (const [n, [study, result]] of due.entries()) {
    session.enter('loading', say('save.updating', { at: n + 1, n: due.length }));
    const { smallestMl, keepOutsideBrain } = removalOf(result, cleaning);
    const removal = { smallestMl, keepOutsideBrain };
    const { outcome } = await session.idleClient.call('outcome', outcomeRequest(study, { ...result, ...removal }));
    session.change({ studies: withStudy(session.state.studies, study.source.id, (now) => withMeasured(now, result.id, outcome, removal, result.edit)) });
  }
  if (due.length > 0) session.enter(restingKind(session.state), restingText(session.state));
}
