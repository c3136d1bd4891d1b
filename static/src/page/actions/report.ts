// Reports: one HTML file on the shown result, or a zip with one on every result and a page of all.
import type { Report } from '../../generated/report';
import { sha256OfFiles } from '../../volume/sidecar';
import type { Pictures } from '../../volume/report-pictures';
import { scanPage } from '../report/scan-page';
import { summaryPage } from '../report/summary-page';
import type { Entry } from '../report/summary-page';
import { reportsCsv } from '../report/table';
import type { Session } from '../session';
import { isBusy, restingKind } from '../state';
import { outcomeRequest, shownResult, shownStudy } from '../studies';
import type { Result, Study } from '../studies';
import { reportName } from '../ui/format';
import { sidecarOfResult } from '../ui/results-json';
import { reasonOf } from '../ui/study-list';
import { stateText } from '../ui/summary';
import { ZipWriter } from '../ui/zip-writer';
import { withOutcome } from './edit';
import { inEnglish } from '../texts/language';
import { say } from '../texts/message';
import { restingText } from './look';
import { cleanAll } from './save-all';
import { write } from './save';

/** The page of all scans in the zip. */
const INDEX = 'index.html';

/** One file on the shown result. */
export async function saveReport(session: Session): Promise<void> {
  const study = shownStudy(session.state);
  const result = shownResult(study);
  if (study?.facts == null || result === null || isBusy(session.state) || !allowsReport(session)) return;
  await write(session, reportName(study.facts.summary, result), say('save.isReport'), async () => {
    session.enter('loading', say('save.writing'));
    const { report, pictures } = await reportOn(session, study, result, new Date(), await sha256OfFiles(study.source.files));
    session.enter(restingKind(session.state), restingText(session.state));
    return new TextEncoder().encode(scanPage(report, pictures));
  });
}

/** A zip with a file on every result, a table and a page of all. */
export async function saveReports(session: Session): Promise<void> {
  if (isBusy(session.state) || !allowsReport(session)) return;
  await write(session, 'meshnet-reports.zip', say('save.isReports', { index: INDEX }), async () => {
    await cleanAll(session);
    const zipped = await zipOf(session, session.state.studies);
    session.enter(restingKind(session.state), restingText(session.state));
    return zipped;
  });
}

async function zipOf(session: Session, studies: readonly Study[]): Promise<Blob> {
  const zip = new ZipWriter();
  const created = new Date();
  const entries: Entry[] = [];
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  for (const [n, study] of studies.entries()) {
    session.enter('loading', say('save.writingAll', { at: n + 1, total: studies.length }));
    const sha256 = study.results.length === 0 ? null : await sha256OfFiles(study.source.files);
    for (const result of study.results) {
      const { report, pictures } = await reportOn(session, study, result, created, sha256);
      // All files lie side by side, so that their links to each other hold.
      const folder = study.name.slice(0, study.name.lastIndexOf('/') + 1).replaceAll('/', '_');
      const name = zip.freeName(folder + reportName(study.facts!.summary, result));
      zip.add(name, text(scanPage(report, pictures, INDEX)));
      entries.push({ scan: study.name, href: encodeURIComponent(name), report, reason: '' });
    }
    const { job } = study;
    const state = stateText(study) ?? (study.results.length === 0 ? say('scans.notSegmented') : null);
    const reason = job.kind === 'failed' ? reasonOf(inEnglish(job.reason), study) : state === null ? null : inEnglish(state);
    if (reason !== null) entries.push({ scan: study.name, href: '', report: null, reason });
  }
  zip.add('report.csv', text(reportsCsv(entries.flatMap(({ report }) => report ?? []))));
  zip.add(INDEX, text(summaryPage(entries, session.state.version, created.toISOString().replace(/\.\d+Z$/, 'Z'))));
  return zip.finish();
}

async function reportOn(session: Session, study: Study, result: Result, created: Date, sha256: string | null): Promise<{ readonly report: Report; readonly pictures: Pictures }> {
  const { version, cleaning } = session.state;
  const { measured, pictures } = await session.idleClient.call('report', { scan: study.source, result: outcomeRequest(study, result) });
  const made = sidecarOfResult(study, await withOutcome(session, study, result), { version, allLabels: cleaning.allLabels }, created, sha256);
  return { report: { format: 'meshnet-report', version: 1, made, ...measured }, pictures };
}

/** A kiosk may switch reports off. */
function allowsReport({ state }: Session): boolean {
  return state.kiosk?.report !== 'off';
}
