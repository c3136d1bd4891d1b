// The panel "Compare": the shown result beside a mask or another result.
import type { Label } from '../../generated/model-spec';
import type { Comparison } from '../../volume/compare';
import { resultName, shownResult } from '../studies';
import type { Result, Study } from '../studies';
import type { Compared } from '../types';
import { byId, byTestId, element } from './dom';

/** Of the three-colour overlay. */
export const COMPARISON_LABELS: readonly Label[] = ([
  ['neither', [0, 0, 0]],
  ['in both', [70, 190, 90]],
  ['in the result only', [230, 60, 50]],
  ['in the other only', [60, 130, 240]],
] as const).map(([name, [r, g, b]], index) => ({ index, name, color: [r, g, b], freesurfer_id: null }));

/** Heading and value of each row, with the decimals of `meshnet-compare`. */
export function comparisonRows(c: Comparison): readonly (readonly [string, string])[] {
  const number = (value: number, decimals: number, unit = ''): string => (Number.isFinite(value) ? `${value.toFixed(decimals)}${unit}` : 'one mask is empty');
  return [
    ['Dice', number(c.dice, 3)],
    ['Precision', number(c.precision, 3)],
    ['Recall', number(c.recall, 3)],
    ['HD95', number(c.hd95Mm, 1, ' mm')],
    ['Mean surface distance', number(c.meanSurfaceDistanceMm, 2, ' mm')],
    ['Volume of the result', number(c.resultMl, 2, ' mL')],
    ['Volume of the other', number(c.referenceMl, 2, ' mL')],
    ['Lesions found', String(c.lesionsFound)],
    ['Lesions missed', String(c.lesionsMissed)],
    ['Lesions of the result alone', String(c.lesionsFalse)],
  ];
}

/** The choice of other results of the scan, and the numbers of the comparison in the picture, if there is one. */
export function showComparison(study: Study | null, compared: Compared | null): void {
  const shown = shownResult(study);
  const others: readonly Result[] = study === null || shown === null ? [] : study.results.filter(({ id }) => id !== shown.id);
  const choice = byId('compare-with', HTMLSelectElement);
  choice.hidden = others.length === 0;
  choice.replaceChildren(new Option('Compare with another result…', ''), ...others.map((result) => new Option(resultName(study!, result), String(result.id))));
  const box = byTestId('comparison', HTMLDivElement);
  box.hidden = compared === null;
  if (compared === null) return;
  byId('comparison-name', HTMLParagraphElement).textContent = `With ${compared.name}:`;
  byTestId('comparison-table', HTMLTableElement).tBodies[0]!.replaceChildren(...comparisonRows(compared.comparison).map(([name, value]) => {
    const row = element('tr');
    const heading = element('th', name);
    heading.scope = 'row';
    row.append(heading, element('td', value, 'number'));
    return row;
  }));
  byId('comparison-colours', HTMLParagraphElement).replaceChildren(...COMPARISON_LABELS.slice(1).flatMap(({ name, color }) => {
    const swatch = element('span', '', 'swatch');
    swatch.style.backgroundColor = `rgb(${color.join(', ')})`;
    return [swatch, `${name} `];
  }));
}
