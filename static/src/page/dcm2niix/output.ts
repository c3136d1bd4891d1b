// The text that dcm2niix prints, in English: its warnings of each series, and its reason where a conversion fails.
// meshnet/scan/dicom_output.py has the same rules; a test in tests/parity compares the sentences.

/** The name to show for a path that dcm2niix prints. */
type NameOf = (path: string) => string;

/** Warnings that say nothing about a failure. */
const HARMLESS: readonly string[] = ['Patient Position', 'Unable to determine manufacturer', 'Error: Converted'];

/** dcm2niix's warnings by the file name (without extension) of the series that the next line says is converted. Why slices of a
 * series were not stacked goes to all files of that series. */
export function warningsOf(output: string, nameOf: NameOf): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>();
  let [apart, waiting]: [string[], string[]] = [[], []];
  let series: string | null = null;
  for (const line of output.split('\n')) {
    const converted = /^Convert \d+ DICOM as (.*?)(?: \([\dx]+\))?$/.exec(line);
    if (line.startsWith('Warning: ')) {
      waiting.push(cleaned(line, nameOf));
    } else if (line.startsWith('Slices not stacked: ')) {
      if (series !== null) [apart, series] = [[], null];
      apart.push(line.trim().replace(/ varies .*/, ' varies')); // the values may be a patient's dates
    } else if (converted !== null) {
      const name = converted[1]!.split('/').at(-1)!;
      const own = (name.match(/\d+(?:\.\d+){2,}/g) ?? [name]).at(-1)!; // the series' UID comes last
      if (series !== null && series !== own) apart = [];
      series = own;
      found.set(name, [...new Set([...apart, ...waiting])]);
      waiting = [];
    }
  }
  return found;
}

/** dcm2niix's last error or warning that may be the reason of a failure; null for none. */
export function lastFault(output: string, nameOf: NameOf): string | null {
  const last = output.split('\n').findLast((line) => /^(Error|Warning)/.test(line) && !HARMLESS.some((text) => line.includes(text)));
  return last === undefined ? null : cleaned(last, nameOf);
}

/** The warning of files that dcm2niix left out because of their transfer syntax; null for none. */
export function unsupportedSyntax(output: string, nameOf: NameOf): string | null {
  const found = output.split('\n').find((line) => line.includes('Unsupported transfer syntax'));
  return found === undefined ? null : cleaned(found, nameOf);
}

/** A line without its kind, references to web pages, and folders of paths. */
function cleaned(line: string, nameOf: NameOf): string {
  const text = line.replace(/^(?:Error|Warning):? /, '').replace(/ \(see [^)]*\)/g, '');
  return text.replace(/\/[^ ,;:()]+/g, nameOf).trim().replace(/\.+$/, '');
}
