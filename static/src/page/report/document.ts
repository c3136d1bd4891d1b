// The frame of a self-contained HTML file, and its tables: shared by all pages of a report. Twin of
// meshnet/infer/report/document.py; report.css and sort.js are the same files there.
import { NONE, safe } from './numbers';
import style from './report.css?raw';
import sortScript from './sort.js?raw';

/** The file may load nothing: pictures are inside it, and its own script runs only if `htmlDocument` allows it. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'";

export const RESEARCH = 'For research, not for diagnosis. Check every result against the scan itself.';

export interface Cell {
  /** Markup, already safe. */
  readonly html: string;
  readonly isText: boolean;
  /** To sort by, "" for a missing one; null: the text. */
  readonly value: string | null;
}

/** A whole file. `sorts`: with the script that sorts tables; `data`: JSON for programs. */
export function htmlDocument(title: string, body: readonly string[], { sorts = false, data = '' }: { readonly sorts?: boolean; readonly data?: string }): string {
  return [
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    `<meta http-equiv="Content-Security-Policy" content="${sorts ? `${POLICY}; script-src 'unsafe-inline'` : POLICY}">`,
    `<title>${safe(title)}</title>`,
    `<style>\n${style}</style>`,
    '</head>',
    '<body>',
    ...body,
    `<footer>${RESEARCH}</footer>`,
    ...(data === '' ? [] : [`<script type="application/json" id="facts">${data.replaceAll('<', '\\u003c')}</script>`]),
    ...(sorts ? [`<script>\n${sortScript}</script>`] : []),
    '</body>',
    '</html>',
    '',
  ].join('\n');
}

export interface Column {
  readonly name: string;
  readonly isText: boolean;
}

/** The first cell of a row is its heading. */
export function htmlTable(head: readonly Column[], rows: readonly (readonly Cell[])[], sorts = false): string {
  return [
    '<div class="scroll"><table>',
    `<thead><tr>${head.map((column) => heading(column, sorts)).join('')}</tr></thead>`,
    '<tbody>',
    ...rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`),
    '</tbody></table></div>',
  ].join('\n');
}

export function numbers(...names: readonly string[]): Column[] {
  return names.map((name) => ({ name, isText: false }));
}

export function texts(...names: readonly string[]): Column[] {
  return names.map((name) => ({ name, isText: true }));
}

/** A cell with a number, or a dash, by which the table can be sorted. */
export function numberCell(text: string): Cell {
  return { html: text, isText: false, value: text === NONE ? '' : text };
}

/** A cell with text. */
export function textCell(text: string): Cell {
  return htmlCell(safe(text));
}

/** A cell with markup, already safe. */
export function htmlCell(html: string): Cell {
  return { html, isText: true, value: null };
}

export const EMPTY: Cell = { html: '', isText: false, value: null };

function heading({ name, isText }: Column, sorts: boolean): string {
  const kind = isText ? ' class="text"' : '';
  if (sorts) return `<th scope="col"${kind} aria-sort="none"><button type="button">${safe(name)}</button></th>`;
  return `<th scope="col"${kind}>${safe(name)}</th>`;
}

function cell({ html, isText, value }: Cell, place: number): string {
  const kind = isText ? ' class="text"' : '';
  return place === 0 ? `<th scope="row"${kind}>${html}</th>` : `<td${kind}${value === null ? '' : ` data-value="${value}"`}>${html}</td>`;
}
