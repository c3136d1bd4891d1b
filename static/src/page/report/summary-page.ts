// The page of all scans: a table that can be sorted, a plot of volumes, a link to each report. Twin of
// meshnet/infer/report/summary_page.py.
import type { Report } from '../../generated/report';
import { htmlCell, htmlDocument, htmlTable, numberCell, numbers, RESEARCH, textCell, texts } from './document';
import type { Cell } from './document';
import { base64, fixed, fixedOrNone, NONE, safe } from './numbers';
import { volumeBars } from './plots';
import { longestOf } from './scan-page';
import { reportsCsv } from './table';

/** One scan of the summary. */
export interface Entry {
  readonly scan: string;
  /** Of its page; "" without one. */
  readonly href: string;
  readonly report: Report | null;
  /** A sentence, if there is no report. */
  readonly reason: string;
}

/** The file's text. `version`: of MeshNet; `created`: ISO 8601. */
export function summaryPage(entries: readonly Entry[], version: string, created: string): string {
  const reports = entries.flatMap(({ report }) => report ?? []);
  const without = entries.length > reports.length ? `, ${entries.length - reports.length} without a result` : '';
  // The brain's tissue stands on each scan's own page.
  const names = [...new Set(reports.flatMap(({ labels }) => labels.filter(({ kind }) => kind !== 'context').map(({ name }) => name)))];
  const csv = base64(new TextEncoder().encode(reportsCsv(reports)));
  const body = [
    `<h1>Report on ${entries.length} scans</h1>`,
    `<p class="soft">MeshNet ${safe(version)}, ${safe(created)}${without}</p>`,
    `<p class="research">${RESEARCH}</p>`,
    '<h2>Scans</h2>',
    '<p class="soft screen">Press a heading to sort by it, a scan’s name for its report.</p>',
    scanTable(entries, names),
    `<p><a download="report.csv" href="data:text/csv;base64,${csv}">All numbers of all scans as CSV</a></p>`,
    ...plot(entries, names),
  ];
  return htmlDocument(`Report on ${entries.length} scans`, body, { sorts: true });
}

function scanTable(entries: readonly Entry[], names: readonly string[]): string {
  const hasLesions = entries.some(({ report }) => report !== null && report.lesions.length > 0);
  const hasBrain = entries.some(({ report }) => report !== null && report.brain !== null);
  const head = [
    ...texts('Scan', 'Model'),
    ...numbers(...names.map((name) => `${name}, mL`), ...(hasLesions ? ['Lesions', 'Longest diameter, mm'] : []), ...(hasBrain ? ['Brain, mL', 'Of the brain, %'] : [])),
    ...texts('Notes'),
  ];
  const rows = entries.map((entry) => [
    entry.report === null ? textCell(entry.scan) : htmlCell(`<a href="${safe(entry.href)}">${safe(entry.scan)}</a>`),
    ...volumeCells(entry, names),
    ...(hasLesions ? lesionCells(entry) : []),
    ...(hasBrain ? brainCells(entry) : []),
    notesCell(entry),
  ]);
  return htmlTable(head, rows, true);
}

function volumeCells({ report }: Entry, names: readonly string[]): Cell[] {
  const volumeOf = (name: string): number | undefined => report?.labels.find((label) => label.name === name)?.volume_ml;
  return [textCell(report?.made.model.name ?? NONE), ...names.map((name) => numberCell(fixedOrNone(volumeOf(name), 2)))];
}

function lesionCells({ report }: Entry): Cell[] {
  if (report === null) return [numberCell(NONE), numberCell(NONE)];
  return [numberCell(String(report.lesions.length)), numberCell(fixedOrNone(report.lesions.length > 0 ? longestOf(report.lesions) : null, 1))];
}

function brainCells({ report }: Entry): Cell[] {
  const brain = report?.brain ?? null;
  return [numberCell(brain === null ? NONE : fixed(brain.brain_ml, 0)), numberCell(brain === null ? NONE : fixed(brain.lesion_percent, 2))];
}

function notesCell({ report, reason }: Entry): Cell {
  if (report === null) return htmlCell(`<span class="failed">${safe(reason)}</span>`);
  return textCell([...(report.made.edits.length > 0 ? ['edited'] : []), ...report.made.notes.map(({ code }) => code)].join(', '));
}

/** Of the first label. */
function plot(entries: readonly Entry[], names: readonly string[]): string[] {
  const [name] = names;
  if (name === undefined) return [];
  const bars = entries.flatMap(({ scan, report }) => (report?.labels ?? []).filter((label) => label.name === name).map(({ volume_ml: ml }) => ({ scan, ml })));
  return ['<h2>Volumes</h2>', volumeBars(name, bars)];
}
