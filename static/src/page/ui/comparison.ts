// The panel "Compare": the shown result beside a mask or another result.
import type { Label } from '../../generated/model-spec';
import type { Comparison } from '../../volume/compare';
import { resultName, shownResult } from '../studies';
import type { Result, Study } from '../studies';
import { formatNumber, read, t } from '../texts/language';
import type { Key } from '../texts/message';
import type { Compared } from '../types';
import { byId, byTestId, element } from './dom';

const COLOURS = [
  ['compare.neither', [0, 0, 0]],
  ['compare.both', [70, 190, 90]],
  ['compare.resultOnly', [230, 60, 50]],
  ['compare.otherOnly', [60, 130, 240]],
] as const satisfies readonly (readonly [Key, readonly number[]])[];

/** Of the three-colour overlay. */
export function comparisonLabels(): readonly Label[] {
  return COLOURS.map(([key, [r, g, b]], index) => ({ index, name: t(key), color: [r, g, b], freesurfer_id: null }));
}

/** Heading and value of each row, with the decimals of `meshnet-compare`. */
export function comparisonRows(c: Comparison): readonly (readonly [string, string])[] {
  const number = (value: number, decimals: number, unit = ''): string => (Number.isFinite(value) ? `${formatNumber(value, { minimumFractionDigits: decimals, maximumFractionDigits: decimals })}${unit}` : t('compare.empty'));
  return [
    [t('compare.dice'), number(c.dice, 3)],
    [t('compare.precision'), number(c.precision, 3)],
    [t('compare.recall'), number(c.recall, 3)],
    [t('compare.hd95'), number(c.hd95Mm, 1, ' mm')],
    [t('compare.surface'), number(c.meanSurfaceDistanceMm, 2, ' mm')],
    [t('compare.resultMl'), number(c.resultMl, 2, ' mL')],
    [t('compare.otherMl'), number(c.referenceMl, 2, ' mL')],
    [t('compare.found'), formatNumber(c.lesionsFound)],
    [t('compare.missed'), formatNumber(c.lesionsMissed)],
    [t('compare.alone'), formatNumber(c.lesionsFalse)],
  ];
}

/** The choice of other results of the scan, and the numbers of the comparison in the picture, if there is one. */
export function showComparison(study: Study | null, compared: Compared | null): void {
  const shown = shownResult(study);
  const others: readonly Result[] = study === null || shown === null ? [] : study.results.filter(({ id }) => id !== shown.id);
  const choice = byId('compare-with', HTMLSelectElement);
  choice.hidden = others.length === 0;
  choice.replaceChildren(new Option(t('compare.choose'), ''), ...others.map((result) => new Option(read(resultName(study!, result)), String(result.id))));
  const box = byTestId('comparison', HTMLDivElement);
  box.hidden = compared === null;
  if (compared === null) return;
  byId('comparison-name', HTMLParagraphElement).textContent = t('compare.with', { name: compared.name });
  byTestId('comparison-table', HTMLTableElement).tBodies[0]!.replaceChildren(...comparisonRows(compared.comparison).map(([name, value]) => {
    const row = element('tr');
    const heading = element('th', name);
    heading.scope = 'row';
    row.append(heading, element('td', value, 'number'));
    return row;
  }));
  byId('comparison-colours', HTMLParagraphElement).replaceChildren(...comparisonLabels().slice(1).map(({ name, color }) => {
    const key = element('span');
    const swatch = element('span', '', 'swatch');
    swatch.style.backgroundColor = `rgb(${color.join(', ')})`;
    key.append(swatch, name);
    return key;
  }));
}
