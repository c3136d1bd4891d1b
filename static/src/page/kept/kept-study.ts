// A scan of the list as it is kept, and back. The files of the scan and the labels of its results lie beside it (storage.ts).
import type { DicomSeries } from '../../volume/dicom/types';
import type { StoredLabels } from '../../worker/protocol';
import type { Result, Study } from '../studies';
import { dicomSeriesOf, withSeries } from '../ui/dicom';
import { pathOf, withPath } from '../ui/paths';

/** Of `study`; other versions of the site may write another. */
const FORMAT = 1;

interface KeptFile {
  readonly name: string;
  readonly path: string;
  readonly type: string;
  readonly lastModified: number;
  /** Of a scan that was converted from DICOM. */
  readonly series: DicomSeries | null;
}

/** `labels`: name of the file that holds them. */
type KeptResult = Omit<Result, 'id' | 'labels'> & { readonly labels: string };

export interface KeptStudy {
  readonly format: typeof FORMAT;
  readonly files: readonly KeptFile[];
  readonly frame: number | null;
  readonly facts: Study['facts'];
  readonly results: readonly KeptResult[];
  /** Place of the shown result; null where there is none. */
  readonly shownResult: number | null;
  /** Whether the scan was the one in the picture. */
  readonly isShown: boolean;
}

/** `labelsOf`: the file that holds the labels of a result, by the result's id. */
export function keptStudy({ source, facts, results, shownResultId }: Study, isShown: boolean, labelsOf: ReadonlyMap<number, string>): KeptStudy {
  const shown = results.findIndex(({ id }) => id === shownResultId);
  return {
    format: FORMAT,
    files: source.files.map((file) => ({ name: file.name, path: pathOf(file), type: file.type, lastModified: file.lastModified, series: dicomSeriesOf(file) })),
    frame: source.frame,
    facts,
    results: results.map(({ id, ...result }) => ({ ...result, labels: labelsOf.get(id)! })),
    shownResult: shown < 0 ? null : shown,
    isShown,
  };
}

/** Throws an Error where the value is of another version of the site. */
export function asKeptStudy(value: unknown): KeptStudy {
  const found = (value as { format?: unknown } | null)?.format;
  if (found !== FORMAT) throw new Error(`expected a scan kept in format ${FORMAT}, got format ${String(found)}`);
  return value as KeptStudy;
}

/** `contents`: of the scan's files. `labels`: of each result. */
export function studyOf(kept: KeptStudy, contents: readonly Blob[], labels: readonly StoredLabels[], newId: () => number): Study {
  const files = kept.files.map(({ name, path, type, lastModified, series }, n) => {
    const file = withPath(new File([contents[n]!], name, { type, lastModified }), path);
    return series === null ? file : withSeries(file, series);
  });
  const results = kept.results.map((result, n): Result => ({ ...result, id: newId(), labels: labels[n]! }));
  return {
    source: { id: newId(), files, frame: kept.frame },
    name: files[0]!.name,
    facts: kept.facts,
    results,
    shownResultId: kept.shownResult === null ? null : results[kept.shownResult]!.id,
    job: { kind: 'none' },
  };
}
