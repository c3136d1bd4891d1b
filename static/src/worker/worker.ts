// The page's worker: decode, conform, normalise, run, clean, back to native, encode. The calls are in protocol.ts.
import { apply, voxelSizeMm } from '../volume/affine';
import { conform } from '../volume/conform';
import type { Conformed } from '../volume/conform';
import { encodeConformed, encodeNative, fromNetworkLabels, labelVolumes, prepare, toNative, toNetworkInput } from '../volume/prepare';
import type { Prepared } from '../volume/prepare';
import { voxelVolumeMl } from '../volume/native';
import type { Scan } from '../volume/nifti';
import { contrastNotes, resultNotes } from '../volume/run-notes';
import type { Volume, VoxelArray } from '../volume/volume';
import type { ModelSpec } from '../generated/model-spec';
import type { LoadedModel } from '../model/bundle';
import { labelCentres } from '../volume/centres';
import { removeSmallComponents } from '../volume/clean';
import { cpu } from '../engine/cpu/index';
import { messageOf } from '../engine/message';
import { loadModel, needsAnswers } from '../model/source';
import { separateParts } from '../volume/parts';
import { answerCalls } from './calls';
import type { CallContext, Handlers } from './calls';
import type { BackendChoice, BackendOptions, CallName, Calls, DisplayArray, Outcome, Stage } from './protocol';
import { noExperience, probeAll, rankBackends, segment, type Experience } from '../engine/choose';
import { tfjs } from '../engine/tfjs/index';
import type { RunOptions } from '../engine/types';
import { webgl2 } from '../engine/webgl2/index';
import { webgpu } from '../engine/webgpu/index';

/** How many separate parts are listed one by one, the largest first. */
const LISTED_PARTS = 8;

const BACKENDS = [webgpu, webgl2, cpu, tfjs];

/** State between calls. */
interface Memory {
  prepared: Prepared | null;
  /** The network's labels on the conformed grid, before any cleaning, the number of classes, and the model. */
  labels: { readonly conformed: Volume<Uint8Array>; readonly classes: number; readonly spec: ModelSpec } | null;
  /** The labels that are shown and saved. */
  outcome: { readonly conformed: Volume<Uint8Array>; readonly native: Volume<Uint8Array> } | null;
}

const memory: Memory = { prepared: null, labels: null, outcome: null };

const handlers: Handlers<Calls, Stage> = {
  probe: async (options) => {
    const { ranked, passedOver } = rankBackends(await probeAll(BACKENDS), options.forced);
    const { module, probe } = ranked[0]!;
    if (!probe.available) throw new Error(probe.reason);
    return { backend: module.id, device: probe.device, details: probe.details, whyNot: passedOver };
  },

  load: async ({ files, frame }) => {
    const contents = await Promise.all(files.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
    // Only a scan that could be read replaces the one before it.
    const prepared = prepare(contents, frame);
    memory.prepared = prepared;
    memory.labels = null;
    memory.outcome = null;
    const { scan } = prepared;
    return {
      summary: {
        name: scan.name,
        frame,
        dims: scan.dims,
        voxelSizeMm: voxelSizeMm(scan.affineVox2ras),
        dtype: scan.dtype,
        description: headerText(scan),
        notes: [...scan.notes, ...prepared.conformed.notes],
      },
      display: { data: displayArray(scan.data), dims: scan.dims, affineVox2ras: scan.affineVox2ras },
    };
  },

  model: async ({ source }, { signal }) => {
    if (await needsAnswers(source)) return { spec: null, notes: [] };
    const { spec, notes } = await loadModel(source, signal);
    return { spec, notes };
  },

  run: async ({ source, options }, context) => {
    memory.labels = null;
    memory.outcome = null;
    context.tell({ stage: 'preparing' });
    return runModel(await loadModel(source, context.signal), options, context);
  },

  outcome: ({ smallestMl }) => {
    const { prepared, labels } = memory;
    if (prepared === null || labels === null) throw new Error('There is no segmentation yet; press Segment first.');
    const smallestVoxels = smallestMl === null ? 0 : smallestMl / voxelVolumeMl(labels.conformed.affineVox2ras);
    const cleaned = smallestMl === null ? null : removeSmallComponents(labels.conformed.data, labels.conformed.dims, smallestVoxels);
    const conformed = cleaned === null ? labels.conformed : { ...labels.conformed, data: cleaned.labels };
    const native = toNative(conformed, prepared.scan);
    memory.outcome = { conformed, native };
    const volumes = labelVolumes(native, labels.classes);
    return Promise.resolve({
      volumes,
      notes: resultNotes(labels.spec, volumes, prepared.conformed.headMl),
      overlay: { ...native, data: native.data.slice() },
      centres: labelCentres(native.data, native.dims, labels.classes),
      parts: labels.classes === 2 ? partsOf(native) : null,
      removedMl: (cleaned?.removedVoxels ?? 0) * voxelVolumeMl(labels.conformed.affineVox2ras),
    });
  },

  save: ({ space }) => {
    const { prepared, outcome } = memory;
    if (prepared === null || outcome === null) throw new Error('There is nothing to save yet; press Segment first.');
    const bytes = space === 'native' ? encodeNative(outcome.native, prepared.scan) : encodeConformed(outcome.conformed, prepared.scan);
    return Promise.resolve({ bytes });
  },
};

function partsOf({ data, dims, affineVox2ras }: Volume<Uint8Array>): Outcome['parts'] {
  const { count, largest } = separateParts(data, dims, LISTED_PARTS);
  const voxelMl = voxelVolumeMl(affineVox2ras);
  return { count, largest: largest.map(({ voxels, centre }) => ({ volumeMl: voxels * voxelMl, centre, positionMm: apply(affineVox2ras, centre) })) };
}

async function runModel({ spec, graph }: LoadedModel, options: BackendOptions, { signal, tell }: CallContext<Stage>): Promise<Calls['run']['reply']> {
  const { prepared } = memory;
  if (prepared === null) throw new Error('There is no scan yet; open one or try the sample.');
  const conformed = conformedFor(prepared, spec);
  const input = { data: toNetworkInput(conformed, spec), dims: spec.input.size };
  const choice = rankBackends(await probeAll(BACKENDS), options.forced);
  const runOptions: RunOptions = {
    signal,
    onProgress: (progress) => {
      tell({ stage: 'layers', ...progress });
    },
    ...(options.maxBufferBytes === null ? {} : { maxBufferBytes: options.maxBufferBytes }),
  };
  const result = await segment(graph, input, choice, runOptions, (chosen: BackendChoice) => {
    tell({ stage: 'backend', ...chosen });
  }, experienceOf(spec.weights.sha256));
  // The page does not open a scan during a run; if it ever did, these labels must not become the new scan's.
  if (memory.prepared !== prepared) throw new Error('Another scan was opened during the run; press Segment again.');
  memory.labels = { conformed: fromNetworkLabels(result.labels, conformed, spec), classes: graph.classes, spec };
  const { backend, device, details, whyNot, milliseconds, timings, peakBytes, largestBufferBytes } = result;
  const notes = [...contrastNotes(prepared.scan.name, headerText(prepared.scan), spec.modality), ...conformed.notes];
  return { spec, report: { backend, device, details, whyNot, milliseconds, timings, peakBytes, largestBufferBytes, notes } };
}

/** Per model, by the weights' SHA-256: a backend without memory for one model may run a smaller one, and ids may repeat. */
const experience = new Map<string, Experience>();

function experienceOf(sha256: string): Experience {
  const known = experience.get(sha256) ?? noExperience();
  experience.set(sha256, known);
  return known;
}

/** The scan on the model's grid: nearly always the one made when it was opened. */
function conformedFor({ scan, conformed }: Prepared, spec: ModelSpec): Conformed {
  const { size, voxel_size_mm: wantedMm } = spec.input;
  const fits = size.every((n, axis) => n === conformed.dims[axis]) && Math.abs(voxelSizeMm(conformed.affineVox2ras)[0] - wantedMm) <= 1e-5;
  return fits ? conformed : conform(scan, { size: size[0], voxelSizeMm: wantedMm });
}

/** A copy for the viewer, which knows no 64-bit types; 32-bit floats are exact enough to look at. */
function displayArray(data: VoxelArray): DisplayArray {
  if (data instanceof Uint8Array || data instanceof Int16Array || data instanceof Uint16Array) return data.slice();
  return Float32Array.from(data);
}

function headerText(scan: Scan): string {
  return new TextDecoder('latin1').decode(scan.header.descrip).replace(/\0.*$/s, '').trim();
}

function describe(error: unknown): string {
  // Errors of the language itself are our mistakes (or memory running out), not the visitor's: say so.
  const unexpected = error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
  if (!unexpected) return messageOf(error);
  return `Unexpected error (${error.message}). If the scan is very large, memory may have run out; please report it with the diagnostics.`;
}

/** Big arrays are handed over, not copied. */
function transfer(reply: Calls[CallName]['reply']): Transferable[] {
  const arrays = 'display' in reply ? [reply.display.data] : 'overlay' in reply ? [reply.overlay.data] : 'bytes' in reply ? [reply.bytes] : [];
  return arrays.flatMap((array) => (array.buffer instanceof ArrayBuffer ? [array.buffer] : []));
}

answerCalls(handlers, { transfer, describe });
