// The page's worker: decode, conform, normalise, run, clean, back to native, encode. The calls are in protocol.ts.
import { apply, voxelSizeMm } from '../volume/affine';
import type { Conformed } from '../volume/conform';
import { encodeConformed, encodeNative, fromNetworkLabels, labelVolumes, prepare, toNative } from '../volume/prepare';
import type { Prepared } from '../volume/prepare';
import { labelsToNative, voxelVolumeMl } from '../volume/native';
import { measuredFacts } from '../volume/report-facts';
import { makePictures } from '../volume/report-pictures';
import { resultNotes } from '../volume/run-notes';
import { chosenLabel, othersOf, probabilityOf, thresholded } from '../volume/confidence';
import { compareMasks, onGridOf } from '../volume/compare';
import { lesionIndices } from '../volume/label-roles';
import { encodeMesh } from '../volume/mesh/formats';
import { labelMesh } from '../volume/mesh/label-mesh';
import { readMask } from '../volume/read-mask';
import { encodeNativeProbability } from '../volume/nifti-write';
import type { Dims, Volume, VoxelArray } from '../volume/volume';
import type { ModelSpec } from '../generated/model-spec';
import type { LoadedModel } from '../model/bundle';
import { labelCentres } from '../volume/centres';
import { applyDelta } from '../volume/label-delta';
import { cpu } from '../engine/cpu/index';
import { messageOf } from '../engine/message';
import { loadModel, needsAnswers } from '../model/source';
import { savedLabels, shownIndices } from '../volume/label-roles';
import { separateParts } from '../volume/parts';
import { gunzip, gzip, readUnpacked } from '../volume/gzip';
import { MAX_FILE_BYTES } from '../volume/nifti';
import { answerCalls } from './calls';
import type { CallContext, Handlers } from './calls';
import type { BackendOptions, CallName, Calls, ConfidenceOptions, DisplayArray, Outcome, OutcomeRequest, ScanFacts, ScanSource, Stage, StoredConfidence, StoredLabels } from './protocol';
import { probeAll, rankBackends } from '../engine/choose';
import { tfjs } from '../engine/tfjs/index';
import type { Progress, RunResult } from '../engine/types';
import { webgl2 } from '../engine/webgl2/index';
import { webgpu } from '../engine/webgpu/index';
import { secondsOfRun } from './pace';
import { cleanLabels, conformedOn, headerText, segmentScan, type CleanedLabels } from './segmentation';

/** How many separate parts are listed one by one, the largest first. */
const LISTED_PARTS = 8;

const BACKENDS = [webgpu, webgl2, cpu, tfjs];

/** The scan that was read last; the only one that is held decoded. */
let held: { readonly id: number; readonly prepared: Prepared } | null = null;

const handlers: Handlers<Calls, Stage> = {
  probe: async (options) => {
    const { ranked, passedOver } = rankBackends(await probeAll(BACKENDS), options.forced);
    const { module, probe } = ranked[0]!;
    if (!probe.available) throw new Error(probe.reason);
    return { backend: module.id, device: probe.device, details: probe.details, whyNot: passedOver };
  },

  load: async ({ scan }) => {
    const prepared = await preparedOf(scan);
    const { data, dims, affineVox2ras } = prepared.scan;
    return { facts: factsOf(prepared, scan.frame), display: { data: displayArray(data), dims, affineVox2ras } };
  },

  model: async ({ source }, { signal }) => {
    if (await needsAnswers(source)) return { spec: null, notes: [] };
    const { spec, notes } = await loadModel(source, signal);
    return { spec, notes };
  },

  pace: async ({ source }, { signal }) => {
    const { spec, graph } = await loadModel(source, signal);
    return { seconds: await secondsOfRun(graph, spec.input.size, cpu, { signal }) };
  },

  run: async ({ scan, source, options, confidence }, context) => {
    context.tell({ stage: 'preparing' });
    const prepared = await preparedOf(scan);
    const ran = await runModel(prepared, await loadModel(source, context.signal), options, confidence, context);
    return { facts: factsOf(prepared, scan.frame), ...ran };
  },

  outcome: (request) => {
    const { labels, grid } = request;
    const { native, removedVoxels, outsideVoxels } = nativeOf(request);
    const voxelMl = voxelVolumeMl(labels.affineVox2ras);
    const volumes = labelVolumes(native, labels.classes);
    const outcome: Outcome = {
      volumes,
      notes: resultNotes(labels.spec, volumes, grid.headMl, outsideVoxels * voxelMl),
      centres: labelCentres(native.data, native.dims, labels.classes),
      parts: partsOf(native, shownIndices(labels.spec)),
      removedMl: removedVoxels * voxelMl,
    };
    return Promise.resolve({ outcome, overlay: native });
  },

  probability: ({ labels, grid }) => {
    if (labels.confidence === null) throw new Error('This result has no probabilities; press Segment again.');
    const native = toNative({ ...labels, data: unpacked(labels.confidence.probability, labels.dims) }, grid);
    return Promise.resolve({ overlay: native, bytes: encodeNativeProbability(native.data, grid.dims, grid.header) });
  },

  editable: (request) => {
    const { labels, grid } = request;
    const base = nativeOf({ ...request, edit: null }).native.data;
    const under = labels.confidence === null ? base.slice() : toNative({ ...labels, data: unpacked(labels.confidence.others, labels.dims) }, grid).data;
    return Promise.resolve({ base, under });
  },

  compare: async ({ result, other }) => {
    const mask = maskOf(result);
    const reference = other.kind === 'result'
      ? maskOf(other.result)
      : readMask({ name: other.file.name, bytes: new Uint8Array(await other.file.arrayBuffer()) }, other.namedMask);
    const onGrid = onGridOf(reference, mask);
    const overlay = mask.data.map((value, n) => (value !== 0 ? (onGrid[n] !== 0 ? 1 : 2) : onGrid[n] !== 0 ? 3 : 0));
    return { comparison: compareMasks(mask, reference), overlay: { ...mask, data: overlay } };
  },

  report: async ({ scan, result }) => {
    const { labels, grid } = result;
    const { native } = nativeOf(result);
    const probability = labels.confidence === null ? null : toNative({ ...labels, data: unpacked(labels.confidence.probability, labels.dims) }, grid).data;
    const measured = measuredFacts(labels.spec, native, probability);
    const centres = measured.lesions.flatMap(({ centre_ras_mm: centre }) => (centre === null ? [] : [centre]));
    const conformed = conformedOn(await preparedOf(scan), labels);
    return { measured, pictures: makePictures(labels.spec, conformed, native, centres) };
  },

  mesh: ({ indices, quality, format, ...request }) => {
    const mesh = labelMesh(nativeOf(request).native, indices, quality);
    const of = request.labels.spec.labels.filter(({ index }) => indices.includes(index));
    return Promise.resolve({ bytes: encodeMesh(mesh, format, of.map(({ name }) => name).join(' + '), of[0]!.color) });
  },

  dicomSeg: async ({ scan, series, model, allLabels, version, ...request }) => {
    const [{ encodeSegmentation }, { findSlices }] = await Promise.all([import('../volume/dicom/segmentation'), import('../volume/dicom/slices')]);
    const { dims, affineVox2ras } = request.grid;
    const slices = await findSlices(series, dims, affineVox2ras, async () => (await preparedOf(scan)).scan.data);
    const { data } = nativeOf(request).native;
    return { bytes: encodeSegmentation(data, slices, series, model, { allLabels, isEdited: request.edit !== null, version, now: new Date() }) };
  },

  save: ({ space, allLabels, ...request }) => {
    const { labels, grid } = request;
    const { native, conformed } = nativeOf(request);
    const saved = (volume: Volume<Uint8Array>): Volume<Uint8Array> => ({ ...volume, data: savedLabels(volume.data, labels.spec, allLabels) });
    if (space === 'native') return Promise.resolve({ bytes: encodeNative(saved(native), grid) });
    // Edits exist on the scan's own grid only.
    const onConformed = request.edit === null ? conformed : { ...conformed, data: labelsToNative(native, conformed.dims, conformed.affineVox2ras) };
    return Promise.resolve({ bytes: encodeConformed(saved(onConformed), grid) });
  },
};

async function preparedOf({ id, files, frame }: ScanSource): Promise<Prepared> {
  if (held?.id === id) return held.prepared;
  held = null; // before the next is read, so that two scans never need memory at once
  const contents = await Promise.all(files.map(async (file) => ({ name: file.name, bytes: await readUnpacked(file, MAX_FILE_BYTES) })));
  const prepared = prepare(contents, frame);
  held = { id, prepared };
  return prepared;
}

function factsOf({ scan, conformed }: Prepared, frame: number | null): ScanFacts {
  const { name, dims, affineVox2ras, dtype, header } = scan;
  return {
    summary: { name, frame, dims, voxelSizeMm: voxelSizeMm(affineVox2ras), dtype, description: headerText(scan), notes: [...scan.notes, ...conformed.notes] },
    grid: { dims, affineVox2ras, header, headMl: conformed.headMl },
  };
}

/** The labels of a result on the scan's own grid, edits included; `conformed` is without them. */
function nativeOf({ labels, grid, edit, ...settings }: OutcomeRequest): CleanedLabels & { readonly native: Volume<Uint8Array> } {
  const result = cleaned(labels, settings);
  const native = toNative(result.conformed, grid);
  if (edit !== null) applyDelta(native.data, edit);
  return { ...result, native };
}

/** The labels on the network's grid, by the threshold if there is one, without what the brain rule drops and small components. */
function cleaned(stored: StoredLabels, { threshold, ...options }: Omit<OutcomeRequest, 'labels' | 'grid' | 'edit'>): CleanedLabels {
  const { gzipped, dims, affineVox2ras, confidence } = stored;
  const data = threshold === null || confidence === null
    ? unpacked(gzipped, dims)
    : thresholded(unpacked(confidence.others, dims), unpacked(confidence.probability, dims), confidence.chosen, threshold);
  return cleanLabels({ data, dims, affineVox2ras }, stored.spec, options);
}

/** The lesion of a result on the scan's own grid, or all of its labels where the model has no lesion. */
function maskOf(request: OutcomeRequest): Volume<Uint8Array> {
  const { native } = nativeOf(request);
  const lesions = lesionIndices(request.labels.spec);
  return { ...native, data: native.data.map((label) => Number(lesions.length > 0 ? lesions.includes(label) : label > 0)) };
}

function unpacked(gzipped: Uint8Array, dims: Dims): Uint8Array {
  return gunzip(gzipped, 'labels', dims[0] * dims[1] * dims[2]);
}

/** Of the one label that is shown at first; null where there are several. */
function partsOf({ data, dims, affineVox2ras }: Volume<Uint8Array>, shown: readonly number[]): Outcome['parts'] {
  if (shown.length !== 1) return null;
  const { count, largest } = separateParts(data.map((label) => (label === shown[0] ? 1 : 0)), dims, LISTED_PARTS);
  const voxelMl = voxelVolumeMl(affineVox2ras);
  return { count, largest: largest.map(({ voxels, centre }) => ({ volumeMl: voxels * voxelMl, centre, positionMm: apply(affineVox2ras, centre) })) };
}

async function runModel(prepared: Prepared, model: LoadedModel, options: BackendOptions, confidence: ConfidenceOptions, { signal, tell }: CallContext<Stage>): Promise<Omit<Calls['run']['reply'], 'facts'>> {
  const onProgress = (progress: Progress): void => { tell({ stage: 'layers', ...progress }); };
  const { conformed, result, notes } = await segmentScan(prepared, model, BACKENDS, options, confidence, { signal, onProgress }, (chosen) => {
    tell({ stage: 'backend', ...chosen });
  });
  const { spec, graph } = model;
  const { data, dims, affineVox2ras } = fromNetworkLabels(result.labels, conformed, spec);
  const labels: StoredLabels = { gzipped: gzip(data), dims, affineVox2ras, classes: graph.classes, spec: { task: spec.task, labels: spec.labels, pieces: spec.pieces ?? null }, confidence: confidence.keep ? storedConfidence(result, conformed, spec) : null };
  const { backend, device, details, whyNot, milliseconds, timings, peakBytes, largestBufferBytes } = result;
  return { spec, report: { backend, device, details, whyNot, milliseconds, timings, peakBytes, largestBufferBytes, notes }, labels };
}

/** Null where the run has no probabilities, or the model no label that they could be about. */
function storedConfidence({ labels, probabilities }: RunResult, conformed: Conformed, spec: ModelSpec): StoredConfidence | null {
  const chosen = chosenLabel(spec);
  if (probabilities === null || chosen === null) return null;
  const packed = (data: Uint8Array): Uint8Array => gzip(fromNetworkLabels(data, conformed, spec).data);
  return { chosen, probability: packed(probabilityOf(probabilities, labels.length, chosen)), others: packed(othersOf(labels, probabilities, chosen)) };
}

/** A copy for the viewer, which knows no 64-bit types; 32-bit floats are exact enough to look at. */
function displayArray(data: VoxelArray): DisplayArray {
  if (data instanceof Uint8Array || data instanceof Int16Array || data instanceof Uint16Array) return data.slice();
  return Float32Array.from(data);
}

function describe(error: unknown): string {
  // JavaScript's own errors are faults of this code (or a lack of memory), not of the visitor's files: the message says so.
  const unexpected = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
  if (!unexpected) return messageOf(error);
  return `Unexpected error (${error.message}). If the scan is very large, memory may have run out; please report it with the diagnostics.`;
}

/** Big arrays are handed over, not copied. */
function transfer(reply: Calls[CallName]['reply']): Transferable[] {
  const arrays = 'display' in reply ? [reply.display.data] : 'overlay' in reply ? [reply.overlay.data] : 'bytes' in reply ? [reply.bytes] : 'base' in reply ? [reply.base, reply.under] : [];
  return arrays.flatMap((array) => (array.buffer instanceof ArrayBuffer ? [array.buffer] : []));
}

answerCalls(handlers, { transfer, describe });
