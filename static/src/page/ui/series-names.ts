// Names of converted series. Two studies may hold series of one number and description: those are told apart by the date,
// or by the study where the dates are equal. Other names hold neither: they would say more about a patient than needed.

/** "%s_%d", date and time, study, series, and an ending of dcm2niix's own. UIDs are numbers with points. */
const PARTS = /^(.*?)(?:_(\d{1,14}))?_(\d+(?:\.\d+){3,})(?:_(\d+(?:\.\d+){2,}))?(.*)\.nii$/;

interface Parts {
  readonly name: string;
  readonly date: string;
  readonly study: string;
  readonly series: string;
  readonly ending: string;
}

/** Names as dcm2niix wrote them with the pattern "%s_%d_%t_%k_%j" → names without date, study and series, unless they are needed.
 * Series of one study with the same name are numbered from the second. */
export function tellApart(names: readonly string[]): string[] {
  const parts = names.map((name): Parts => {
    const [, base, time, study, series, ending] = PARTS.exec(name) ?? [];
    if (base === undefined) return { name: name.replace(/\.nii$/, ''), date: '', study: '', series: '', ending: '' };
    return { name: base, date: (time ?? '').slice(0, 8), study: study!, series: series ?? '', ending: ending! };
  });
  const told = parts.map((own) => {
    const alike = parts.filter(({ name }) => name === own.name);
    const studies = distinct(alike.map(({ study }) => study));
    const dates = distinct(alike.map(({ date }) => date));
    const mark = studies.length === 1 ? '' : dates.length === studies.length ? `_${own.date}` : `_study${studies.indexOf(own.study) + 1}`;
    const number = distinct(alike.filter(({ study }) => study === own.study).map(({ series }) => series)).indexOf(own.series) + 1;
    return { name: `${own.name}${mark}${number === 1 ? '' : `_${number}`}`, ending: own.ending };
  });
  // dcm2niix splits a series whose slices have several dates.
  return told.map((own, n) => {
    const isSame = (other: typeof own): boolean => other.name === own.name && other.ending === own.ending;
    const part = told.filter(isSame).length === 1 ? '' : `_part${told.slice(0, n + 1).filter(isSame).length}`;
    return `${own.name}${part}${own.ending}.nii`;
  });
}

/** Series Instance UID in a name that dcm2niix wrote; null where the files have none. */
export function seriesUidIn(name: string): string | null {
  return PARTS.exec(name)?.[4] ?? null;
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}
