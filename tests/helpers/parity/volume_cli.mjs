// Runs static/src/volume under Node: each line of standard input is a JSON list of jobs, each line of standard output the JSON
// list of their results. Ends with its input.
//
// job: { files: [path], out: folder, frame?: number, grid?: conformed grid, labels?: path of raw conformed labels,
//        spec?: the parts of a model description that concern its input, modality?: a model's, for the notes on the contrast }
//   or { contrast: [file name, header text, the model's modality] }, { result: [spec, volumes, head's mL, dropped mL] } for notes
//      on a run, { names: [file name without extensions] } for which of them say labels and whose tissue they map,
//      { dcm2niix: [printed text, { printed path: name to show }] } for the warnings, the last fault and an unsupported syntax,
//      { tfjs: folder of a TF.js model } for its layers, or { error }, { mask: path of a mask file } for its voxels above 0, or { error },
//      { parts: path of a raw mask, dims } for its separate parts,
//      { sidecar: what `sidecarOf` takes, created: ISO date, files: [path] of the scan } for the JSON beside a result,
//      { clean: path of raw labels, dims, smallestVoxels, out: path } for the labels without small components,
//      { brainRule: path of raw labels, dims, spec, out: path } for those without parts outside the brain,
//      { dicomSeg: paths of DICOM files, seriesUid, labels: path of raw labels, dims, affine, model, allLabels, isEdited?, version,
//          voxels?: path of the raw float64 scan, out: path }
//        for their DICOM-SEG, or { error },
//      { segmentCodes: [label name], task } for their codes,
//      { compare: two of { path of raw labels, dims, affine } } for the comparison of a result with a reference,
//      { facts: path of raw labels, dims, affine, spec, probability: path or null } for the measured facts of a report,
//      { pictures: path of a raw conformed scan, dims, affine, spec, labels: { path, dims, affine }, centres } for its slices,
//      { scanPage: facts, pictures (or null), summary: address }, { summaryPage: [entries, version, date] } for its HTML
// result: { error, frames } for a refused scan, else what `run` returns; volumes go to files in `out`.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { withoutPartsOutsideBrain } from '../../../static/src/volume/brain-rule.ts';
import { readSeries } from '../../../static/src/volume/dicom/read.ts';
import { codesOf } from '../../../static/src/volume/dicom/segment-codes.ts';
import { encodeSegmentation } from '../../../static/src/volume/dicom/segmentation.ts';
import { findSlices } from '../../../static/src/volume/dicom/slices.ts';
import { compareMasks } from '../../../static/src/volume/compare.ts';
import { removeSmallComponents } from '../../../static/src/volume/clean.ts';
import { mapsTissueOf, namesLabels } from '../../../static/src/volume/label-names.ts';
import { contrastNotes, fluidNotes, resultNotes } from '../../../static/src/volume/run-notes.ts';
import { ScanError } from '../../../static/src/volume/errors.ts';
import { measuredFacts } from '../../../static/src/volume/report-facts.ts';
import { makePictures } from '../../../static/src/volume/report-pictures.ts';
import { scanPage } from '../../../static/src/page/report/scan-page.ts';
import { summaryPage } from '../../../static/src/page/report/summary-page.ts';
import { readMask } from '../../../static/src/volume/read-mask.ts';
import { separateParts } from '../../../static/src/volume/parts.ts';
import { sha256OfFiles, sidecarOf } from '../../../static/src/volume/sidecar.ts';
import { importTfjs } from '../../../static/src/model/tfjs-import/import.ts';
import { lastFault, unsupportedSyntax, warningsOf } from '../../../static/src/page/dcm2niix/output.ts';
import * as volume from '../../../static/src/volume/prepare.ts';

function run({ files, out, frame = null, grid, labels, spec, modality }) {
  mkdirSync(out, { recursive: true });
  const save = (name, array) => writeFileSync(join(out, name), new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  const read = (path) => new Uint8Array(readFileSync(path));
  const { scan, conformed } = volume.prepare(files.map((path) => ({ name: basename(path), bytes: read(path) })), frame, grid);
  save('native.f64', Float64Array.from(scan.data));
  save('conformed.u8', conformed.data);
  save('conformed.nii.gz', volume.encodeConformed(conformed, scan));
  const result = { dims: scan.dims, affine: scan.affineVox2ras, conformedAffine: conformed.affineVox2ras, dtype: scan.dtype };
  result.notes = inFiles([...scan.notes, ...conformed.notes]);
  result.headMl = conformed.headMl;
  if (modality !== undefined) result.fluidNotes = inFiles(fluidNotes(conformed, grid.voxelSizeMm, modality));
  if (labels !== undefined) {
    const native = volume.toNative({ ...conformed, data: read(labels) }, scan);
    save('labels_native.u8', native.data);
    save('labels_native.nii.gz', volume.encodeNative(native, scan));
    result.volumes = volume.labelVolumes(native, 256);
  }
  if (spec !== undefined) {
    save('network.f32', volume.toNetworkInput(conformed, spec));
    save('from_network.u8', volume.fromNetworkLabels(conformed.data, conformed, spec).data);
  }
  return result;
}

/** Notes as files have them. */
function inFiles(notes) {
  return notes.map(({ code, text }) => ({ code, text }));
}

const bytesOf = (path) => new Uint8Array(readFileSync(path));

function rawVolume(path, { dims, affine }) {
  return { data: bytesOf(path), dims, affineVox2ras: affine };
}

/** Pictures whose PNG files are base64. */
function decoded({ mmPerPixel, lesions, mosaic }) {
  const picture = (one) => ({ ...one, png: new Uint8Array(Buffer.from(one.png, 'base64')) });
  return { mmPerPixel, lesions: lesions.map((slices) => slices.map(picture)), mosaic: mosaic.map(picture) };
}

async function attempt(job) {
  if (job.sidecar !== undefined) {
    const sha256 = await sha256OfFiles(job.files.map((path) => new Blob([readFileSync(path)])));
    return sidecarOf({ ...job.sidecar, source: { ...job.sidecar.source, sha256 }, created: new Date(job.created) });
  }
  if (job.contrast !== undefined) return inFiles(contrastNotes(...job.contrast));
  if (job.result !== undefined) return inFiles(resultNotes(...job.result));
  if (job.dcm2niix !== undefined) {
    const [output, names] = job.dcm2niix;
    const nameOf = (path) => names[path] ?? path;
    return [Object.fromEntries(warningsOf(output, nameOf)), lastFault(output, nameOf), unsupportedSyntax(output, nameOf)];
  }
  if (job.tfjs !== undefined) {
    const binaries = readdirSync(job.tfjs).filter((name) => name.endsWith('.bin'));
    const files = { modelJson: readFileSync(join(job.tfjs, 'model.json'), 'utf8'), binaries: new Map(binaries.map((name) => [name, bytesOf(join(job.tfjs, name))])), colormaps: new Map() };
    try {
      const { graph } = await importTfjs(files, { normalization: { kind: 'minmax' }, orientation: 'LIA' }, 'model.json');
      return graph.layers.map(({ dilation, activation, weight, bias }) => ({ dilation, activation, weight: [...weight], bias: [...bias] }));
    } catch (error) {
      return { error: error.message };
    }
  }
  if (job.mask !== undefined) {
    try {
      const { data } = readMask({ name: basename(job.mask), bytes: bytesOf(job.mask) }, false);
      return { voxels: data.reduce((sum, value) => sum + value, 0) };
    } catch (error) {
      return { error: error.message };
    }
  }
  if (job.names !== undefined) return job.names.map((name) => [namesLabels(name), mapsTissueOf(name)]);
  if (job.brainRule !== undefined) {
    const { labels, removedVoxels } = withoutPartsOutsideBrain(new Uint8Array(readFileSync(job.brainRule)), job.dims, job.spec);
    writeFileSync(job.out, labels);
    return { removedVoxels };
  }
  if (job.compare !== undefined) {
    const [result, reference] = job.compare.map(({ path, dims, affine }) => ({ data: new Uint8Array(readFileSync(path)), dims, affineVox2ras: affine }));
    return compareMasks(result, reference);
  }
  if (job.facts !== undefined) return measuredFacts(job.spec, rawVolume(job.facts, job), job.probability === null ? null : bytesOf(job.probability));
  if (job.pictures !== undefined && job.scanPage === undefined) {
    const made = makePictures(job.spec, rawVolume(job.pictures, job), rawVolume(job.labels.path, job.labels), job.centres);
    const encoded = (picture) => ({ ...picture, png: Buffer.from(picture.png).toString('base64') });
    return { ...made, lesions: made.lesions.map((slices) => slices.map(encoded)), mosaic: made.mosaic.map(encoded) };
  }
  if (job.scanPage !== undefined) return scanPage(job.scanPage, job.pictures === null ? null : decoded(job.pictures), job.summary);
  if (job.summaryPage !== undefined) return summaryPage(...job.summaryPage);
  if (job.segmentCodes !== undefined) return job.segmentCodes.map((name) => codesOf({ name }, job.task));
  if (job.dicomSeg !== undefined) {
    const series = await readSeries(job.dicomSeg.map((path) => new Blob([readFileSync(path)])));
    const own = series.find(({ seriesUid }) => seriesUid === job.seriesUid);
    try {
      const options = { allLabels: job.allLabels, isEdited: job.isEdited ?? false, version: job.version, now: new Date() };
      const voxels = () => Promise.resolve(new Float64Array(Uint8Array.from(readFileSync(job.voxels)).buffer));
      const slices = await findSlices(own, job.dims, job.affine, voxels);
      writeFileSync(job.out, encodeSegmentation(new Uint8Array(readFileSync(job.labels)), slices, own, job.model, options));
      return {};
    } catch (error) {
      return { error: error.message };
    }
  }
  if (job.parts !== undefined) return separateParts(new Uint8Array(readFileSync(job.parts)), job.dims, 254);
  if (job.clean !== undefined) {
    const { labels, removedVoxels } = removeSmallComponents(new Uint8Array(readFileSync(job.clean)), job.dims, job.smallestVoxels);
    writeFileSync(job.out, labels);
    return { removedVoxels };
  }
  try {
    return run(job);
  } catch (error) {
    if (!(error instanceof ScanError)) throw error;
    return { error: error.message, frames: error.frames ?? null };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  const results = await Promise.all(JSON.parse(line).map(attempt));
  process.stdout.write(`${JSON.stringify(results)}\n`);
}
