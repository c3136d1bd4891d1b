// The page's worker: decode, conform, normalise, run, clean, back to native, encode. The calls are in protocol.ts.
import { apply, voxelSizeMm } from '../volume/affine';
import { labelCentres } from '../volume/centres';
import { voxelVolumeMl } from '../volume/native';
import { separateParts } from '../volume/parts';
import { encodeConformed, encodeNative, prepare } from '../volume/prepare';
import type { Prepared } from '../volume/prepare';
import type { Volume, VoxelArray } from '../volume/volume';
import { probeAll, rankBackends } from '../engine/choose';
import { cpu } from '../engine/cpu/index';
import { messageOf } from '../engine/message';
import { tfjs } from '../engine/tfjs/index';
import type { Progress } from '../engine/types';
import { webgl2 } from '../engine/webgl2/index';
import { webgpu } from '../engine/webgpu/index';
import type { LoadedModel } from '../model/bundle';
import { loadModel, needsAnswers } from '../model/source';
import { answerCalls } from './calls';
import type { CallContext, Handlers } from './calls';
import type { BackendOptions, CallName, Calls, DisplayArray, Outcome, Stage } from './protocol';
import { headerText, measure, segmentScan, type Labels } from './segmentation';

/** How many separate parts are listed one by one, the largest first. */
const LISTED_PARTS = 8;

const BACKENDS = [webgpu, webgl2, cpu, tfjs];

/** State between calls. */
interface Memory {
  prepared: Prepared | null;
  labels: Labels | null;
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
    const { conformed, native, volumes, removedMl, notes } = measure(labels, prepared, smallestMl);
    memory.outcome = { conformed, native };
    return Promise.resolve({
      volumes,
      notes,
      overlay: { ...native, data: native.data.slice() },
      centres: labelCentres(native.data, native.dims, labels.classes),
      parts: labels.classes === 2 ? partsOf(native) : null,
      removedMl,
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

async function runModel(model: LoadedModel, options: BackendOptions, { signal, tell }: CallContext<Stage>): Promise<Calls['run']['reply']> {
  const { prepared } = memory;
  if (prepared === null) throw new Error('There is no scan yet; open one or try the sample.');
  const onProgress = (progress: Progress): void => {
    tell({ stage: 'layers', ...progress });
  };
  const { labels, run, notes } = await segmentScan(prepared, model, BACKENDS, options, { signal, onProgress }, (chosen) => {
    tell({ stage: 'backend', ...chosen });
  });
  // The page does not open a scan during a run; if it ever did, these labels must not become the new scan's.
  if (memory.prepared !== prepared) throw new Error('Another scan was opened during the run; press Segment again.');
  memory.labels = labels;
  const { backend, device, details, whyNot, milliseconds, timings, peakBytes, largestBufferBytes } = run;
  return { spec: model.spec, report: { backend, device, details, whyNot, milliseconds, timings, peakBytes, largestBufferBytes, notes } };
}

/** A copy for the viewer, which knows no 64-bit types; 32-bit floats are exact enough to look at. */
function displayArray(data: VoxelArray): DisplayArray {
  if (data instanceof Uint8Array || data instanceof Int16Array || data instanceof Uint16Array) return data.slice();
  return Float32Array.from(data);
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
