// One run of a graph: memory, input, stages, labels. The crew that computes is given: one thread or many.
import { checkInput } from '../graph';
import type { EngineInput, Graph, RunOptions, RunResult } from '../types';
import type { RunMemory } from './memory';
import { makeProgram, type Pass, type Program } from './program';
import { STEPS_DONE } from './work';

/** Computes stages on a memory; `done` resolves to the milliseconds of each pass. */
export interface Crew {
  readonly threads: number;
  readonly memory: RunMemory;
  readonly module: WebAssembly.Module;
  setup(program: Program, memory: WebAssembly.Memory): void;
  stage(passes: readonly Pass[], tick: () => void, signal: AbortSignal | undefined): Promise<readonly number[]>;
  /** Releases the run's memory of `bytes` bytes. */
  release(bytes: number): void;
}

export async function runGraph(crew: Crew, graph: Graph, input: EngineInput, options: RunOptions): Promise<RunResult> {
  options.signal?.throwIfAborted();
  checkInput(graph, input);
  const program = makeProgram(graph, input.dims, {
    module: crew.module,
    shared: crew.memory.shared,
    threads: crew.threads,
    margin: options.margin ?? false,
    inspect: options.inspect !== undefined,
  });
  const memory = crew.memory.take(program.pages);
  const bytes = memory.buffer.byteLength;
  const timings = graph.layers.map((layer) => ({ name: layer.name, milliseconds: 0 }));
  try {
    program.load(memory);
    upload(program, memory, input, graph.inChannels);
    crew.setup(program, memory);
    await runStages(crew, program, memory, graph, input, options, timings);
    const voxels = input.dims[0] * input.dims[1] * input.dims[2];
    const bytesAt = (address: number) => new Uint8Array(memory.buffer, address, voxels).slice();
    crew.memory.keep(memory);
    return {
      labels: bytesAt(program.address.labels),
      margin: options.margin === true ? bytesAt(program.address.margin) : null,
      timings,
      peakBytes: bytes,
      largestBufferBytes: bytes,
    };
  } finally {
    crew.release(bytes);
  }
}

/** Input channels into the first channels of every plane. */
function upload(program: Program, memory: WebAssembly.Memory, { data, dims }: EngineInput, channels: number): void {
  const [nx, ny, nz] = dims;
  const plane = nx * ny;
  const volume = new Float32Array(memory.buffer, program.address.volume, program.planeStride * nz);
  for (let c = 0; c < channels; c++) {
    for (let z = 0; z < nz; z++) volume.set(data.subarray((c * nz + z) * plane, (c * nz + z + 1) * plane), z * program.planeStride + c * plane);
  }
}

async function runStages(
  crew: Crew,
  program: Program,
  memory: WebAssembly.Memory,
  graph: Graph,
  input: EngineInput,
  options: RunOptions,
  timings: { name: string; milliseconds: number }[],
): Promise<void> {
  const control = new Int32Array(memory.buffer, program.address.control, program.controlLength);
  const total = program.stages.flatMap((stage) => stage.passes).reduce((sum, pass) => sum + pass.macs, 0);
  let before = 0;
  for (const stage of program.stages) {
    control.fill(0);
    const report = () => {
      const { layer, macs } = position(stage.passes, Atomics.load(control, STEPS_DONE));
      options.onProgress?.({ layer, layers: graph.layers.length, fraction: Math.min(1, (before + macs) / total) });
    };
    report();
    const milliseconds = await crew.stage(stage.passes, report, options.signal);
    options.signal?.throwIfAborted();
    for (const [i, pass] of stage.passes.entries()) timings[pass.layer]!.milliseconds += milliseconds[i]!;
    before += stage.passes.reduce((sum, pass) => sum + pass.macs, 0);
    if (stage.output !== null) options.inspect?.(stage.output.layer, fetchOutput(program, memory, input, stage.output));
  }
  options.onProgress?.({ layer: graph.layers.length - 1, layers: graph.layers.length, fraction: 1 });
}

/** The layer being computed after `steps` steps, and the multiply-adds done. */
function position(passes: readonly Pass[], steps: number): { layer: number; macs: number } {
  let macs = 0;
  for (const pass of passes) {
    if (steps < pass.steps) return { layer: pass.layer, macs: macs + (pass.macs * steps) / pass.steps };
    steps -= pass.steps;
    macs += pass.macs;
  }
  return { layer: passes.at(-1)!.layer, macs };
}

/** A layer's output as [channel][z][y][x]. */
function fetchOutput(program: Program, memory: WebAssembly.Memory, { dims }: EngineInput, output: { channels: number; at: 'volume' | 'logits' }): Float32Array {
  const plane = dims[0] * dims[1];
  const values = new Float32Array(output.channels * plane * dims[2]);
  if (output.at === 'logits') {
    values.set(new Float32Array(memory.buffer, program.address.logits, values.length));
    return values;
  }
  const volume = new Float32Array(memory.buffer, program.address.volume, program.planeStride * dims[2]);
  for (let c = 0; c < output.channels; c++) {
    for (let z = 0; z < dims[2]; z++) {
      const from = z * program.planeStride + c * plane;
      values.set(volume.subarray(from, from + plane), (c * dims[2] + z) * plane);
    }
  }
  return values;
}

