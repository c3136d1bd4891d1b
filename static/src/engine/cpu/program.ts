// Graph + volume → what the threads compute, in order, and where it lies in memory. Pure.
//
// The rule for what is fused (graph.ts) holds here too; its slots are not needed, because staged planes
// let every layer overwrite its input plane by plane (kernel.c): one activation volume and a small ring.
import { convolutionsOf, fusesClassifier, macsPerVoxel } from '../graph';
import type { Activation, Graph, Layer } from '../types';
import type { Dims } from '../../volume/volume';
import { MAX_BLOCK, packClassifier, packConvolution } from './weights';

/** Members of `Job` in job.h, in order, four bytes each. */
const JOB_MEMBERS = [
  'nx', 'ny', 'nz', 'inChannels', 'outChannels', 'dilation', 'points', 'tiles', 'rowLength', 'unitStride',
  'ringPlanes', 'ringStride', 'planesPerStep', 'maxBlock', 'planeStride', 'volume', 'ring', 'zOrder', 'yOrder', 'weights', 'bias',
  'activation', 'inScale', 'inActivation', 'statistics', 'outScale', 'normWeight', 'normBias', 'eps', 'classes',
  'classWeights', 'classBias', 'labels', 'margin', 'logits', 'lineLength',
] as const;
type Job = Partial<Record<(typeof JOB_MEMBERS)[number], number>>;

const ACTIVATIONS: Readonly<Record<Activation, number>> = { relu: 0, elu: 1, gelu: 2, gelu_tanh: 3, none: 4 };

/** Rows a thread takes at a time: MAX_ROWS of multiply.h. */
const ROWS_PER_ITEM = 8;
/** A step's multiply-adds per thread should outweigh its barrier (some 20 µs). */
const MACS_PER_STEP = 12e6;
const MAX_RING_BYTES = 64 * 2 ** 20;
const STACK_BYTES = 16384;
const PAGE = 65536;
/** Shared memories end one page before 4 GiB. */
const MAX_PAGES = 65535;

/** `steps` steps one after the other, each of `items` independent calls `fn(job, step, item, scratch)`. */
export interface Pass {
  readonly fn: 'convolve' | 'merge' | 'normalize' | 'classify';
  readonly job: number;
  /** Layer of the graph it counts for. */
  readonly layer: number;
  readonly steps: number;
  readonly items: number;
  /** Multiply-adds of the whole pass, for the progress. */
  readonly macs: number;
}

/** Passes with nothing in between; with `inspect`, `output` then lies in memory. */
export interface Stage {
  readonly passes: readonly Pass[];
  readonly output: { readonly layer: number; readonly channels: number; readonly at: 'volume' | 'logits' } | null;
}

export interface Program {
  readonly stages: readonly Stage[];
  readonly pages: number;
  /** Floats from one plane of the volume to the next; rows and channels are dense. */
  readonly planeStride: number;
  readonly address: { readonly volume: number; readonly labels: number; readonly margin: number; readonly logits: number; readonly control: number };
  /** Int32 values of the control block: cancel flag, steps done, then a counter and an arrival count per step. */
  readonly controlLength: number;
  readonly threads: readonly { readonly scratch: number; readonly stackTop: number }[];
  /** What to write into the memory before the start. */
  readonly data: readonly { readonly address: number; readonly values: Float32Array | Int32Array }[];
}

export interface ProgramOptions {
  readonly threads: number;
  /** First free byte of the memory (`__heap_base` of the module). */
  readonly heapBase: number;
  readonly margin: boolean;
  readonly inspect: boolean;
}

/** Throws an Error with the bytes needed where the volume does not fit WebAssembly's 4 GiB. */
export function makeProgram(graph: Graph, dims: Dims, options: ProgramOptions): Program {
  const blocks = convolutionsOf(graph);
  const classifier = graph.layers.at(-1)!;
  const voxels = dims[0] * dims[1] * dims[2];
  const memory = new Layout(options.heapBase);
  const shapes = blocks.map((block) => shapeOf(block, dims, options.threads));
  const widest = Math.max(graph.inChannels, ...blocks.map((block) => block.outChannels));
  const largest = (floats: (shape: Shape, block: Layer) => number) => Math.max(...shapes.map((shape, i) => floats(shape, blocks[i]!)));

  const lineLength = roundUp(largest((shape) => shape.lineLength), 4);
  const scratchFloats =
    lineLength * (1 + ROWS_PER_ITEM * widest) + largest((shape, block) => ROWS_PER_ITEM * block.outChannels * shape.points * 8) + graph.classes * roundUp(dims[0], 8);
  const threads = Array.from({ length: options.threads }, () => ({
    stackTop: memory.take(STACK_BYTES) + STACK_BYTES,
    scratch: memory.take(4 * scratchFloats),
  }));
  const ring = memory.take(4 * largest((shape) => shape.ringPlanes * shape.ringStride));
  const rowBlocks = Math.ceil(dims[1] / ROWS_PER_ITEM);
  const hasNorm = blocks.some((block) => block.norm !== null);
  const statistics = hasNorm ? memory.take(16 * dims[2] * rowBlocks * widest) : 0;

  const shared: Job = {
    nx: dims[0], ny: dims[1], nz: dims[2], maxBlock: MAX_BLOCK, planeStride: widest * dims[0] * dims[1],
    ring, lineLength, classWeights: memory.put(packClassifier(classifier)), classBias: memory.put(classifier.bias),
  };
  const jobs: Job[] = blocks.map((block, i) => {
    const shape = shapes[i]!;
    const norm = block.norm;
    return {
      ...shared,
      inChannels: block.inChannels, outChannels: block.outChannels, dilation: block.dilation,
      points: shape.points, tiles: shape.tiles, rowLength: shape.rowLength, unitStride: shape.unitStride, ringPlanes: shape.ringPlanes, ringStride: shape.ringStride, planesPerStep: shape.planesPerStep,
      zOrder: memory.put(residueOrder(dims[2], block.dilation)), yOrder: memory.put(residueOrder(dims[1], block.dilation)),
      weights: memory.put(packConvolution(block, shape.points === 6)), bias: memory.put(block.bias),
      activation: ACTIVATIONS[norm === null ? block.activation : 'none'], inScale: 0, inActivation: ACTIVATIONS.none,
      ...(norm === null ? {} : {
        statistics, outScale: memory.take(8 * block.outChannels), eps: norm.eps,
        normWeight: norm.weight === null ? 0 : memory.put(norm.weight), normBias: norm.bias === null ? 0 : memory.put(norm.bias),
      }),
    };
  });

  const output = { volume: 0, labels: 0, margin: 0, logits: 0 };
  const fused = fusesClassifier(graph, options.inspect);
  const draft: { passes: (Omit<Pass, 'job'> & { job: Job })[]; output: Stage['output'] }[] = [{ passes: [], output: null }];
  const add = (fn: Pass['fn'], layer: number, job: Job, steps: number, items: number, macs = 0) => {
    draft.at(-1)!.passes.push({ fn, layer, job, steps, items, macs });
  };
  const inspectHere = (at: Stage['output']) => {
    draft.at(-1)!.output = at;
    draft.push({ passes: [], output: null });
  };
  const classifierMacs = voxels * macsPerVoxel(classifier);
  for (const [i, block] of blocks.entries()) {
    const job = jobs[i]!;
    const previous = jobs[i - 1];
    // The norm and activation of the layer before are applied as its output is read, unless `inspect` has seen to it.
    if (previous?.outScale !== undefined && !options.inspect) Object.assign(job, { inScale: previous.outScale, inActivation: ACTIVATIONS[blocks[i - 1]!.activation] });
    const last = fused && i === blocks.length - 1;
    if (last) job.classes = graph.classes;
    const B = shapes[i]!.planesPerStep;
    add('convolve', i, job, Math.ceil((dims[2] + 1) / B) + 1, 2 * B * rowBlocks, voxels * macsPerVoxel(block) + (last ? classifierMacs : 0));
    const normed: Job = { ...job, inChannels: block.outChannels, inScale: job.outScale ?? 0, inActivation: ACTIVATIONS[block.activation] };
    if (block.norm !== null) add('merge', i, job, 1, block.outChannels);
    if (block.norm !== null && options.inspect) add('normalize', i, normed, dims[2], rowBlocks);
    if (options.inspect) inspectHere({ layer: i, channels: block.outChannels, at: 'volume' });
  }
  if (!fused) {
    const last = blocks.length - 1;
    const done = options.inspect || blocks[last]!.norm === null;
    const job: Job = {
      ...jobs[last], inChannels: classifier.inChannels, classes: graph.classes,
      inScale: done ? 0 : jobs[last]!.outScale!, inActivation: ACTIVATIONS[done ? 'none' : blocks[last]!.activation],
    };
    add('classify', last + 1, job, dims[2], rowBlocks, classifierMacs);
    if (options.inspect) inspectHere({ layer: last + 1, channels: graph.classes, at: 'logits' });
  }
  const stages = draft.filter((stage) => stage.passes.length > 0);
  const controlLength = 2 + 2 * Math.max(...stages.map((stage) => stage.passes.reduce((sum, pass) => sum + pass.steps, 0)));
  const control = memory.take(4 * controlLength);
  output.labels = memory.take(voxels);
  output.margin = options.margin ? memory.take(voxels) : 0;
  output.logits = options.inspect ? memory.take(4 * voxels * graph.classes) : 0;
  output.volume = memory.take(4 * shared.planeStride! * dims[2]);
  const places: Job = { ...output };
  const finished = stages.map((stage) => ({
    ...stage,
    passes: stage.passes.map((pass) => ({ ...pass, job: memory.put(encodeJob({ ...pass.job, ...places })) })),
  }));

  const pages = Math.ceil(memory.end / PAGE);
  if (pages > MAX_PAGES) {
    throw new Error(
      `volume ${dims.join(' × ')}: ${widest} channels need ${memory.end} bytes on the CPU, WebAssembly allows ${MAX_PAGES * PAGE}; ` +
        'use a smaller volume or a narrower model',
    );
  }
  return { stages: finished, pages, planeStride: shared.planeStride!, address: { ...output, control }, controlLength, threads, data: memory.data };
}

interface Shape {
  readonly points: 1 | 6;
  readonly tiles: number;
  readonly rowLength: number;
  readonly unitStride: number;
  readonly ringPlanes: number;
  readonly ringStride: number;
  readonly planesPerStep: number;
  readonly lineLength: number;
}

/** Winograd where the dilation suits vectors (1, 2, multiples of 4) and its tiles do not waste what it saves. */
function shapeOf(layer: Layer, dims: Dims, threads: number): Shape {
  const [nx, ny, nz] = dims;
  const d = layer.dilation;
  const winogradTiles = roundUp(d * Math.ceil(nx / (4 * d)), 8);
  const directTiles = roundUp(nx, 8);
  const suits = d === 1 || d === 2 || d % 4 === 0;
  const winograd = suits && 6 * winogradTiles * 1.15 < 3 * directTiles;
  const tiles = winograd ? winogradTiles : directTiles;
  const rowLength = winograd ? 8 : roundUp(tiles + 2 * d, 4);
  // One more cache line, so that a row's units do not all fall on the same set of a cache.
  const unitStride = roundUp(ny * layer.inChannels * rowLength, 16) + 16;
  const ringStride = unitStride * (winograd ? (6 * tiles) / 8 : 1);
  const lineLength = winograd ? roundUp(d, 4) + 4 * d * Math.ceil(tiles / d) + d + 24 : tiles;
  const enough = threads === 1 ? 1 : Math.ceil((MACS_PER_STEP * threads) / (nx * ny * macsPerVoxel(layer)));
  const fits = Math.floor(MAX_RING_BYTES / (8 * ringStride) - 1);
  const planesPerStep = Math.max(1, Math.min(enough, fits, nz));
  return { points: winograd ? 6 : 1, tiles, rowLength, unitStride, ringPlanes: 2 * planesPerStep + 2, ringStride, planesPerStep, lineLength };
}

/** 0…n−1 by residue class: 0, d, 2d, …, 1, 1+d, …: neighbours at distance d are neighbours in the order. */
export function residueOrder(n: number, d: number): Int32Array {
  const order = new Int32Array(n);
  let at = 0;
  for (let r = 0; r < Math.min(d, n); r++) for (let i = r; i < n; i += d) order[at++] = i;
  return order;
}

function encodeJob(job: Job): Int32Array {
  const words = new Int32Array(JOB_MEMBERS.map((member) => (member === 'eps' ? 0 : (job[member] ?? 0))));
  new Float32Array(words.buffer)[JOB_MEMBERS.indexOf('eps')] = job.eps ?? 0;
  return words;
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}

/** Addresses handed out one after the other, 64-byte aligned; `put` also remembers what is to be written there. */
class Layout {
  readonly data: { address: number; values: Float32Array | Int32Array }[] = [];
  constructor(public end: number) {}

  take(bytes: number): number {
    const address = roundUp(this.end, 64);
    this.end = address + bytes;
    return address;
  }

  put(values: Float32Array | Int32Array): number {
    const address = this.take(values.byteLength);
    this.data.push({ address, values });
    return address;
  }
}
