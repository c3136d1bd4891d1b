// The report on one result as one HTML file. Twin of meshnet/infer/report/scan_page.py.
import type { Report } from '../../generated/report';
import { MOST_PICTURED } from '../../volume/report-pictures';
import type { Picture, Pictures } from '../../volume/report-pictures';
import { EMPTY, htmlCell, htmlDocument, htmlTable, numberCell, numbers, RESEARCH, textCell, texts } from './document';
import type { Cell, Column } from './document';
import { base64, fixed, fixedOrNone, NONE, safe, spokenMl } from './numbers';
import { histogram } from './plots';
import { reportsCsv } from './table';

type Extent = Report['labels'][number] | Report['lesions'][number];

/** Lesions in the table of the page; the CSV has all. */
const MOST_LISTED = 50;
/** Length of the bar in a picture. */
const BAR_MM = 50;
const SIDES = { axial: ['L', 'R'], coronal: ['L', 'R'], sagittal: ['A', 'P'] } as const;
const AXES = { axial: 'z', coronal: 'y', sagittal: 'x' } as const;

/** The file's text. `pictures`: null for a report without. `summary`: address of the page of all scans, or "". */
export function scanPage(report: Report, pictures: Pictures | null, summary = ''): string {
  const { made } = report;
  const frame = made.source.frame === null ? '' : `, frame ${made.source.frame}`;
  const body = [
    '<header>',
    ...(summary === '' ? [] : [`<p class="screen"><a href="${safe(summary)}">All scans</a></p>`]),
    `<h1>${safe(made.source.name + frame)}</h1>`,
    `<p class="soft">Segmented by the model ${safe(made.model.name)}, MeshNet ${safe(made.software.version)}, ${safe(made.created)}</p>`,
    `<p class="research">${RESEARCH}</p>`,
    '</header>',
    keyFigures(report),
    ...notes(report),
    '<h2>Labels</h2>',
    labelTable(report),
    ...lesions(report),
    ...(pictures === null ? [] : pictureSections(report, pictures)),
    ...probabilities(report),
    '<h2>How this was made</h2>',
    ...provenance(report),
    `<p class="soft">${method(report).join(' ')}</p>`,
  ];
  return htmlDocument(`Report: ${made.source.name}`, body, { data: JSON.stringify(report) });
}

/** The main labels' volumes, the number of lesions, the share of the brain. */
function keyFigures({ labels, lesions: all, brain }: Report): string {
  const figures = labels.filter(({ kind }) => kind !== 'context').slice(0, 3).map(({ volume_ml, name }) => [spokenMl(volume_ml), name] as const);
  if (labels.some(({ kind }) => kind === 'lesion')) figures.push([String(all.length), all.length === 1 ? 'separate lesion' : 'separate lesions']);
  if (all.length > 0) figures.push([`${fixed(longestOf(all), 1)} mm`, 'longest diameter']);
  if (brain !== null) figures.push([`${fixed(brain.lesion_percent, 2)} %`, `of the brain (${spokenMl(brain.brain_ml)})`]);
  return `<ul class="keys">${figures.map(([value, name]) => `<li><b>${value}</b>${safe(name)}</li>`).join('')}</ul>`;
}

export function longestOf(all: Report['lesions']): number {
  return Math.max(...all.map(({ longest_diameter_mm: mm }) => mm ?? 0));
}

function notes({ made }: Report): string[] {
  if (made.notes.length === 0) return ['<h2>Notes</h2>', '<p>None on the scan, none on the result.</p>'];
  const items = made.notes.map(({ text, code }) => `<li>${safe(text)} <code>[${safe(code)}]</code></li>`);
  return ['<h2>Notes</h2>', `<ul class="notes">${items.join('')}</ul>`];
}

const EXTENT_HEAD: readonly Column[] = [...numbers('Of the brain, %', 'Longest diameter, mm', 'x, mm', 'y, mm', 'z, mm'), ...texts('Side')];

/** `decimals`: of the share of the brain. */
function extentCells(extent: Extent, decimals: number): Cell[] {
  return [
    numberCell(fixedOrNone(extent.percent_of_brain, decimals)),
    numberCell(fixedOrNone(extent.longest_diameter_mm, 1)),
    ...(extent.centre_ras_mm ?? [null, null, null]).map((mm) => numberCell(fixedOrNone(mm, 1))),
    textCell(extent.side ?? NONE),
  ];
}

function labelTable({ labels, brain }: Report): string {
  const head = [...texts('Label'), ...numbers('Volume, mL', 'Voxels'), ...EXTENT_HEAD];
  const rows = labels.map((label) => [
    htmlCell(`<span class="swatch" style="background:rgb(${label.color.join(', ')})"></span>${safe(label.name)}`),
    numberCell(fixed(label.volume_ml, 2)),
    numberCell(String(label.voxels)),
    ...extentCells(label, 2),
  ]);
  if (brain !== null) rows.push([textCell('brain (tissue, fluid and lesion)'), numberCell(fixed(brain.brain_ml, 2)), EMPTY, numberCell(fixed(100, 2)), EMPTY, EMPTY, EMPTY, EMPTY, EMPTY]);
  return htmlTable(head, rows);
}

function lesions({ lesions: all, histogram: facts }: Report): string[] {
  if (all.length === 0) return [];
  const shown = all.slice(0, MOST_LISTED);
  const several = new Set(all.map(({ name }) => name)).size > 1;
  const head = [...texts('Lesion', ...(several ? ['Label'] : [])), ...numbers('Volume, mL', 'Voxels'), ...EXTENT_HEAD, ...numbers(...(facts === null ? [] : ['Mean probability']))];
  const rows = shown.map((lesion) => [
    textCell(String(lesion.number)),
    ...(several ? [textCell(lesion.name)] : []),
    numberCell(fixed(lesion.volume_ml, 3)),
    numberCell(String(lesion.voxels)),
    ...extentCells(lesion, 3),
    ...(facts === null ? [] : [numberCell(fixedOrNone(lesion.mean_probability, 2))]),
  ]);
  const leftOut = all.length > shown.length ? [`<p>The largest ${shown.length} of ${all.length} lesions; the CSV at the end has all.</p>`] : [];
  return ['<h2>Lesions</h2>', ...leftOut, htmlTable(head, rows)];
}

function pictureSections(report: Report, pictures: Pictures): string[] {
  const body: string[] = [];
  const count = report.lesions.length;
  if (pictures.lesions.length > 0) {
    const which = count <= MOST_PICTURED ? 'each lesion' : `the largest ${MOST_PICTURED} of ${count} lesions`;
    body.push(
      '<h2>Slices through the lesions</h2>',
      `<p class="soft">Three slices through the centre of ${which}, which the yellow ticks mark. L and R are the ` +
        `patient’s left and right, A and P front and back; the bar is ${BAR_MM} mm long.</p>`,
    );
  }
  for (const [n, slices] of pictures.lesions.entries()) {
    const lesion = report.lesions[n]!;
    body.push(
      '<section class="lesion">',
      `<h3>Lesion ${lesion.number}: ${spokenMl(lesion.volume_ml)}, ${fixed(lesion.longest_diameter_mm ?? 0, 1)} mm, ${lesion.side ?? NONE}</h3>`,
      `<div class="planes">${slices.map((slice) => figure(slice, pictures.mmPerPixel)).join('')}</div>`,
      '</section>',
    );
  }
  body.push(
    '<h2>Mosaic</h2>',
    '<p class="soft">Axial slices, the lowest first, the patient’s left on the left. Labels are outlined in the colours of the table.</p>',
    `<div class="mosaic">${pictures.mosaic.map((slice) => figure(slice, pictures.mmPerPixel)).join('')}</div>`,
  );
  return body;
}

/** A slice with its place, its sides, and in a slice through a lesion ticks and a bar. */
function figure({ plane, positionMm, width, height, png, at }: Picture, mmPerPixel: number): string {
  const [left, right] = SIDES[plane];
  const name = `${plane}, ${AXES[plane]} = ${fixed(positionMm, 0)} mm`;
  let [marks, caption, grow] = ['', `${AXES[plane]} ${fixed(positionMm, 0)}`, ''];
  if (at !== null) {
    const [across, down] = [fixed((100 * (at[0] + 0.5)) / width, 2), fixed((100 * (at[1] + 0.5)) / height, 2)];
    const bar = fixed((100 * BAR_MM) / (width * mmPerPixel), 2);
    marks = `<i class="across" style="left:${across}%"></i><i class="down" style="top:${down}%"></i><i class="bar" style="width:${bar}%"></i>`;
    [caption, grow] = [name, ` style="flex:${width}"`];
  }
  return (
    `<figure${grow}><img src="data:image/png;base64,${base64(png)}" width="${width}" height="${height}" alt="${name}">` +
    `<figcaption>${caption}</figcaption><span class="from">${left}</span><span class="to">${right}</span>${marks}</figure>`
  );
}

function probabilities({ histogram: facts }: Report): string[] {
  if (facts === null) return [];
  const name = safe(facts.name);
  return ['<h2>Probabilities</h2>', `<p class="soft">Voxels labelled ${name} by the model’s probability of ${name}.</p>`, histogram(facts)];
}

function provenance(report: Report): string[] {
  const { made, geometry } = report;
  const frame = made.source.frame === null ? '' : `, frame ${made.source.frame}`;
  const facts = [
    ['Scan', safe(made.source.name + frame)],
    ['SHA-256 of the scan', `<code>${made.source.sha256 ?? 'not known'}</code>`],
    ['Grid', `${geometry.shape.join(' × ')} voxels of ${geometry.voxel_size_mm.map((mm) => fixed(mm, 2)).join(' × ')} mm, axes ${geometry.axes}, oblique by ${fixed(geometry.oblique_deg, 1)}°`],
    ['Model', `${safe(made.model.name)} (${safe(made.model.id)})`],
    ['SHA-256 of the weights', `<code>${made.model.sha256}</code>`],
    ['Engine', `${safe(made.engine.backend)}, ${safe(made.engine.device)}`],
    ['Software', `MeshNet ${safe(made.software.version)}, ${made.software.interface}`],
    ['Date', safe(made.created)],
    ['Settings', safe(settings(report).join('; '))],
    ['Edited', made.edits.length === 0 ? 'not edited' : safe(made.edits.join(', '))],
    ['Table', csvLink(report)],
  ];
  return ['<dl>', ...facts.map(([name, value]) => `<dt>${name!}</dt><dd>${value!}</dd>`), '</dl>'];
}

function settings({ made }: Report): string[] {
  const { threshold, flip, remove_below_ml: removeBelowMl, keep_outside_brain: keepOutsideBrain } = made.settings;
  return [
    threshold === null ? 'the most probable label' : `threshold ${fixed(threshold, 2)} on the lesion’s probability`,
    ...(flip ? ['averaged with the mirror image'] : []),
    ...(removeBelowMl === null ? [] : [`components below ${fixed(removeBelowMl, 3)} mL removed`]),
    ...(keepOutsideBrain ? ['pieces outside the brain kept'] : []),
  ];
}

function csvLink(report: Report): string {
  const stem = report.made.source.name.split('.')[0]! || 'scan';
  return `<a download="${safe(stem)}_report.csv" href="data:text/csv;base64,${base64(new TextEncoder().encode(reportsCsv([report])))}">all numbers as CSV</a>`;
}

function method({ midline }: Report): string[] {
  const where = midline.of_brain ? 'the middle of the labelled brain' : 'the scanner’s x = 0';
  return [
    'Volumes, diameters and places are measured on the scan’s own grid.',
    'A lesion is a set of voxels that share faces.',
    'The longest diameter is the distance between the two corners of its voxels that are farthest apart.',
    'x, y and z are the place in scanner coordinates (right, anterior, superior) of the voxel nearest to the mean position.',
    `Side: of that place against x = ${fixed(midline.x_mm, 1)} mm, ${where}; up to 5 mm from it is midline.`,
    'Pictures show the scan as the model saw it, resampled to its grid.',
  ];
}
