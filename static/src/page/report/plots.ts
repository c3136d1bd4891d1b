// Plots of reports as inline SVG. Twin of meshnet/infer/report/plots.py.
import type { Histogram } from '../../generated/report';
import { fixed, safe } from './numbers';

const BAR = '#0b5cad';
/** Ends of an axis, times a power of ten. */
const STEPS = [1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 12];
/** Of the five labels of the axis from 0 to 1. */
const ANCHORS = ['start', 'middle', 'middle', 'middle', 'end'];

/** Bars of voxels against probability. */
export function histogram({ name, voxels }: Histogram): string {
  const most = Math.max(1, ...voxels);
  const total = voxels.reduce((sum, count) => sum + count, 0);
  const [width, height, bins] = [600, 140, voxels.length];
  const step = width / bins;
  const bars = voxels.map((count, n) =>
    `<rect x="${fixed(n * step + 1, 1)}" y="${fixed(15 + height - (height * count) / most, 1)}" ` +
    `width="${fixed(step - 2, 1)}" height="${fixed((height * count) / most, 1)}" fill="${BAR}">` +
    `<title>${fixed(n / bins, 2)} to ${fixed((n + 1) / bins, 2)}: ${count} voxels</title></rect>`);
  const ticks = ANCHORS.map((anchor, n) => `<text x="${fixed((width * n) / 4, 0)}" y="170" text-anchor="${anchor}">${fixed(n / 4, 2)}</text>`);
  return (
    `<svg viewBox="0 0 600 186" width="600" height="186" role="img" aria-label="Histogram of probabilities">` +
    `<text class="soft" x="0" y="10">${most} voxels in the highest bar, ${total} in all</text>${bars.join('')}` +
    `<line class="grid" x1="0" x2="600" y1="155.5" y2="155.5"/>${ticks.join('')}` +
    `<text class="soft" x="300" y="184" text-anchor="middle">probability of ${safe(name)}</text></svg>`
  );
}

export interface Bar {
  readonly scan: string;
  readonly ml: number;
}

/** A bar per scan, the largest first. */
export function volumeBars(name: string, bars: readonly Bar[]): string {
  const ordered = [...bars].sort((a, b) => b.ml - a.ml);
  const [left, width, row] = [230, 400, 20];
  const top = niceEnd(Math.max(...ordered.map(({ ml }) => ml)));
  const height = 24 + row * ordered.length + 20;
  const digits = top >= 12 ? 0 : top >= 1.2 ? 1 : top >= 0.12 ? 2 : 3;
  const grid = [0, 1, 2, 3, 4].map((n) => {
    const x = left + (width / 4) * n;
    return (
      `<line class="grid" x1="${x}" x2="${x}" y1="18" y2="${height - 18}"/>` +
      `<text class="soft" x="${x}" y="${height - 4}" text-anchor="middle">${fixed((top * n) / 4, digits)}</text>`
    );
  });
  const rows = ordered.map(({ scan, ml }, n) =>
    `<text x="${left - 8}" y="${24 + row * n + 13}" text-anchor="end">${safe(shortened(scan))}</text>` +
    `<rect x="${left}" y="${24 + row * n + 3}" width="${fixed((width * ml) / top, 1)}" height="${row - 6}" ` +
    `fill="${BAR}"><title>${safe(scan)}: ${fixed(ml, 2)} mL</title></rect>` +
    `<text x="${fixed(left + (width * ml) / top + 5, 1)}" y="${24 + row * n + 13}">${fixed(ml, 2)}</text>`);
  return (
    `<svg viewBox="0 0 700 ${height}" width="700" height="${height}" role="img" aria-label="Volume of ${safe(name)} in each scan">` +
    `<text class="soft" x="${left}" y="12">volume of ${safe(name)}, mL</text>${grid.join('')}${rows.join('')}</svg>`
  );
}

/** The end of an axis from 0 that holds `largest` and has round quarters; 1.2 if there is nothing. */
function niceEnd(largest: number): number {
  if (largest <= 0) return 1.2;
  const power = 10 ** Math.floor(Math.log10(largest) + 1e-9);
  return STEPS.map((step) => step * power).find((end) => largest <= end)!;
}

/** At most 36 characters: the end of a long name says more than its beginning. */
function shortened(name: string): string {
  return name.length <= 36 ? name : `…${name.slice(-35)}`;
}
