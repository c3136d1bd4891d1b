// Names of converted series. Two studies may hold series of one number and description: those are told apart by the date,
// or by the study where the dates are equal. Other names hold neither: they would say more about a patient than needed.

/** "%s_%d", date and time, study, and an ending of dcm2niix's own. A study's UID is numbers with points. */
const PARTS = /^(.*?)(?:_(\d{1,14}))?_(\d+(?:\.\d+){3,})(.*)\.nii$/;

interface Parts {
  readonly name: string;
  readonly date: string;
  readonly study: string;
  readonly ending: string;
}

/** Names as dcm2niix wrote them with the pattern "%s_%d_%t_%k" → names without date and study, unless they are needed. */
export function tellApart(names: readonly string[]): string[] {
  const parts = names.map((name): Parts => {
    const [, base, time, study, ending] = PARTS.exec(name) ?? [];
    return base === undefined ? { name: name.replace(/\.nii$/, ''), date: '', study: '', ending: '' } : { name: base, date: (time ?? '').slice(0, 8), study: study!, ending: ending! };
  });
  return parts.map((own) => {
    const alike = parts.filter(({ name }) => name === own.name);
    const studies = distinct(alike.map(({ study }) => study));
    const dates = distinct(alike.map(({ date }) => date));
    const mark = studies.length === 1 ? '' : dates.length === studies.length ? `_${own.date}` : `_study${studies.indexOf(own.study) + 1}`;
    return `${own.name}${mark}${own.ending}.nii`;
  });
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}
