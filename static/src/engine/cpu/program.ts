// A graph and a volume as a plan that the threads carry out: plan.h makes it, this module gives it memory and weights.
//
// The page's volumes have x (= D) fastest: X_FASTEST of axes.h. The rule for what is fused (graph.ts) holds in
// planner.c too; its slots are not needed, because every layer overwrites its input plane by plane.
import { convolutionsOf } from '../graph';
import type { Activation, Graph, Layer } from '../types';
import type { Dims } from '../../volume/volume';
import { instantiate, type Kernel } from './kernel';
import { allocate } from './memory';

const X_FASTEST = 0;
/** Results that planner.c places in the memory: the enum of plan.h. */
const LABELS = 1;
const PROBABILITIES = 2;
const LOGITS = 4;
/** The enum of math.h. */
export const ACTIVATIONS: Readonly<Record<Activation, number>> = { relu: 0, elu: 1, gelu: 2, gelu_tanh: 3, none: 4 };

const PAGE = 65536;
/** Shared memories end one page before 4 GiB. */
const MAX_PAGES = 65535;
/** planner.c wants addresses that are multiples of this. */
const ALIGNMENT = 64;

/** `steps` steps one after the other, each of `items` independent calls `run_item(pass, step, item, scratch)`. */
export interface Pass {
  readonly address: number;
  /** Layer of the graph that it computes. */
  readonly layer: number;
  readonly steps: number;
  readonly items: number;
  /** Multiply-adds of the whole pass, for the progress. */
  readonly macs: number;
}

/** A layer's output in memory; `slots`: address of int32 [nz], which plane of the volume holds each z. */
export interface LayerOutput {
  readonly layer: number;
  readonly channels: number;
  readonly at: 'volume' | 'logits';
  readonly slots: number;
}

/** Passes with nothing in between; with `inspect`, `output` then lies in memory. */
export interface Stage {
  readonly passes: readonly Pass[];
  readonly output: LayerOutput | null;
}

export interface Program {
  readonly stages: readonly Stage[];
  readonly pages: number;
  /** Floats from one plane of the volume to the next; rows and channels are dense. */
  readonly planeStride: number;
  readonly address: { readonly volume: number; readonly probabilities: number; readonly logits: number; readonly control: number };
  /** Int32 values of the control block: cancel flag, steps done, then a counter and an arrival count per step. */
  readonly controlLength: number;
  /** Address of each thread's scratch, where its stack ends too. */
  readonly scratch: readonly number[];
  /** Writes the plan, weights and tables to a memory of `pages` pages. To be called before the input is copied there. */
  readonly load: (memory: WebAssembly.Memory) => void;
  /** Addresses of the labels of every z; after `load`. They may lie in planes of the volume. */
  readonly labelPlanes: (memory: WebAssembly.Memory) => readonly number[];
}

export interface ProgramOptions {
  readonly module: WebAssembly.Module;
  /** Whether the module is one with shared memory. */
  readonly shared: boolean;
  readonly threads: number;
  readonly probabilities: boolean;
  readonly inspect: boolean;
}

/** Throws an Error with the bytes needed where the volume does not fit WebAssembly's 4 GiB. */
export function makeProgram(graph: Graph, dims: Dims, options: ProgramOptions): Program {
  const convolutions = convolutionsOf(graph);
  const { kernel, memory, plan } = planMemory(options, graph.layers.length);
  describe(kernel, plan, graph, dims, options);
  const base = plan + kernel.plan_size(graph.layers.length);
  const end = base + kernel.plan_bytes(plan);
  const pages = Math.ceil(end / PAGE);
  if (pages > MAX_PAGES) {
    const widest = Math.max(graph.inChannels, ...convolutions.map((layer) => layer.outChannels));
    throw new Error(
      `volume ${dims.join(' × ')}: ${widest} channels need ${end} bytes on the CPU, WebAssembly allows ${MAX_PAGES * PAGE}; ` +
        'use a smaller volume or a narrower model',
    );
  }
  kernel.plan_place(plan, base);
  const planned = new Uint8Array(memory.buffer, plan, base - plan);
  return {
    stages: options.inspect ? stagePerLayer(graph, passesOf(kernel, plan), (layer) => unsigned(kernel.plan_slots(plan, layer))) : [{ passes: passesOf(kernel, plan), output: null }],
    pages,
    planeStride: kernel.plan_plane_stride(plan),
    address: {
      volume: unsigned(kernel.plan_volume(plan)), probabilities: unsigned(kernel.plan_probabilities(plan)),
      logits: unsigned(kernel.plan_logits(plan)), control: unsigned(kernel.plan_control(plan)),
    },
    controlLength: kernel.plan_control_length(plan),
    scratch: Array.from({ length: options.threads }, (_, thread) => unsigned(kernel.plan_scratch(plan, thread))),
    load(runMemory) {
      new Uint8Array(runMemory.buffer, plan, planned.length).set(planned);
      loadLayers(instantiate(options.module, runMemory), runMemory, plan, graph);
    },
    labelPlanes(runMemory) {
      const loaded = instantiate(options.module, runMemory);
      return Array.from({ length: dims[2] }, (_, z) => unsigned(loaded.plan_label_plane(plan, z)));
    },
  };
}

/** An instance with room for the plan alone, which lies at the first free address: the same one as in the run's memory. */
function planMemory({ module, shared }: ProgramOptions, layers: number): { kernel: Kernel; memory: WebAssembly.Memory; plan: number } {
  let memory = allocate(2, shared);
  let kernel = instantiate(module, memory);
  const plan = Math.ceil((kernel.__heap_base.value as number) / ALIGNMENT) * ALIGNMENT;
  const end = plan + kernel.plan_size(layers);
  if (end > memory.buffer.byteLength) {
    memory = allocate(Math.ceil(end / PAGE), shared);
    kernel = instantiate(module, memory);
  }
  return { kernel, memory, plan };
}

function describe(kernel: Kernel, plan: number, graph: Graph, dims: Dims, { threads, probabilities, inspect }: ProgramOptions): void {
  const results = LABELS | (probabilities ? PROBABILITIES : 0) | (inspect ? LOGITS : 0);
  kernel.plan_begin(plan, graph.layers.length, ...dims, X_FASTEST, kernel.kernel_unit(), threads, Number(inspect), results);
  for (const [i, { inChannels, outChannels, dilation, activation, norm }] of graph.layers.entries()) {
    kernel.plan_layer(plan, i, inChannels, outChannels, dilation, ACTIVATIONS[activation], Number(norm !== null), norm?.eps ?? 0);
  }
}

function passesOf(kernel: Kernel, plan: number): Pass[] {
  return Array.from({ length: kernel.plan_passes(plan) }, (_, i) => {
    const address = unsigned(kernel.plan_pass(plan, i));
    return {
      address, layer: kernel.pass_layer(address), steps: kernel.pass_steps(address), items: kernel.pass_items(address), macs: kernel.pass_macs(address),
    };
  });
}

/** With `inspect`, a layer's output lies in the volume after its last pass, the classifier's in the logits. */
function stagePerLayer(graph: Graph, passes: readonly Pass[], slotsOf: (layer: number) => number): Stage[] {
  const classifier = graph.layers.length - 1;
  return graph.layers.map(({ outChannels }, layer) => ({
    passes: passes.filter((pass) => pass.layer === layer),
    output: layer < classifier
      ? { layer, channels: outChannels, at: 'volume', slots: slotsOf(layer) }
      : { layer, channels: outChannels, at: 'logits', slots: 0 },
  }));
}

/** A layer's tensors reach the module through the volume's memory, which is still empty and has room for them. */
function loadLayers(kernel: Kernel, memory: WebAssembly.Memory, plan: number, graph: Graph): void {
  for (const [i, layer] of graph.layers.entries()) {
    let end = unsigned(kernel.plan_volume(plan));
    const [weight, bias, normWeight, normBias] = tensorsOf(layer).map((tensor) => {
      if (tensor === null) return 0;
      const address = end;
      new Float32Array(memory.buffer, address, tensor.length).set(tensor);
      end += tensor.byteLength;
      return address;
    });
    kernel.plan_load(plan, i, weight!, bias!, normWeight!, normBias!);
  }
}

function tensorsOf({ weight, bias, norm }: Layer): (Float32Array | null)[] {
  return [weight, bias, norm?.weight ?? null, norm?.bias ?? null];
}

/** WebAssembly returns addresses as signed numbers. */
function unsigned(address: number): number {
  return address >>> 0;
}
