// Prepares a run on the CPU: program, memory, input. The run loop then carries the program's stages out on the crew, which
// is one thread or many.
import { messageOf } from '../message';
import { OutOfMemory, runGraph as runOn, type Engine, type Prepared, type Run } from '../run-loop';
import type { EngineInput, Graph, RunOptions, RunResult } from '../types';
import { ThreadsFailed, type RunMemory } from './memory';
import { makeProgram, type LayerOutput, type Pass, type Program, type Stage } from './program';
import { STEPS_DONE } from './work';

/** Computes stages on a memory; `stage` resolves to the milliseconds of each pass. */
export interface Crew {
  readonly threads: number;
  readonly memory: RunMemory;
  readonly module: WebAssembly.Module;
  setup(program: Program, memory: WebAssembly.Memory): void;
  stage(passes: readonly Pass[], tick: () => void, signal: AbortSignal | undefined): Promise<readonly number[]>;
  /** Releases the run's memory, of `bytes` bytes. */
  release(bytes: number): void;
}

export async function runGraph(crew: Crew, graph: Graph, input: EngineInput, options: RunOptions): Promise<RunResult> {
  const engine: Engine = { name: 'CPU', memory: 'memory', formats: ['float32'], prepare: (run) => Promise.resolve(prepare(crew, run)) };
  return runOn(engine, graph, input, options);
}

/** Throws ThreadsFailed where threads get no shared memory, OutOfMemory where one thread gets none. */
function prepare(crew: Crew, run: Run): Prepared {
  const { graph, input, usage, probabilities, outputs } = run;
  const program = makeProgram(graph, input.dims, {
    module: crew.module, shared: crew.memory.shared, threads: crew.threads, probabilities: probabilities !== null, inspect: outputs !== null,
  });
  const memory = takeMemory(crew, program, run);
  const bytes = memory.buffer.byteLength;
  usage.take(bytes);
  run.atEnd(() => { crew.release(bytes); });
  program.load(memory);
  upload(program, memory, input, graph.inChannels);
  crew.setup(program, memory);

  const progress = new Progress(run, new Int32Array(memory.buffer, program.address.control, program.controlLength));
  return {
    tasks: program.stages.map((stage) => ({
      layer: stage.passes[0]!.layer,
      async carryOut() {
        await progress.stage(crew, stage);
        if (stage.output !== null) fetchOutput(program, memory, run, stage.output);
      },
    })),
    finish() {
      const fill = (array: Uint8Array, address: number) => { array.set(new Uint8Array(memory.buffer, address, array.length)); };
      const plane = input.dims[0] * input.dims[1];
      program.labelPlanes(memory).forEach((address, z) => { fill(run.labels.subarray(z * plane, (z + 1) * plane), address); });
      if (probabilities !== null) fill(probabilities, program.address.probabilities);
      crew.memory.keep(memory);
      return Promise.resolve();
    },
  };
}

function takeMemory(crew: Crew, { pages }: Program, { usage }: Run): WebAssembly.Memory {
  usage.neededBytes = pages * 65536;
  try {
    return crew.memory.take(pages);
  } catch (error) {
    if (error instanceof ThreadsFailed) throw error;
    throw new OutOfMemory(messageOf(error), { cause: error });
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

/** Reports to the meter what the threads count in the control block while a stage runs. */
class Progress {
  private macsBefore = 0;

  constructor(private readonly run: Run, private readonly control: Int32Array) {}

  async stage(crew: Crew, { passes }: Stage): Promise<void> {
    const { meter, signal } = this.run;
    this.control.fill(0);
    const report = () => {
      const { layer, macs } = position(passes, Atomics.load(this.control, STEPS_DONE));
      meter.reached(layer, this.macsBefore + macs);
    };
    report();
    const milliseconds = await crew.stage(passes, report, signal);
    signal?.throwIfAborted();
    for (const [i, pass] of passes.entries()) meter.took(pass.layer, milliseconds[i]!);
    this.macsBefore += passes.reduce((sum, pass) => sum + pass.macs, 0);
  }
}

/** The layer being computed after `steps` steps of the passes, and the multiply-adds done. */
function position(passes: readonly Pass[], steps: number): { layer: number; macs: number } {
  let macs = 0;
  for (const pass of passes) {
    if (steps < pass.steps) return { layer: pass.layer, macs: macs + (pass.macs * steps) / pass.steps };
    steps -= pass.steps;
    macs += pass.macs;
  }
  return { layer: passes.at(-1)!.layer, macs };
}

function fetchOutput(program: Program, memory: WebAssembly.Memory, { input, outputs }: Run, { layer, channels, at, slots }: LayerOutput): void {
  const [nx, ny, nz] = input.dims;
  if (at === 'logits') {
    outputs?.add(layer, new Float32Array(memory.buffer, program.address.logits, channels * nx * ny * nz).slice());
    return;
  }
  const plane = channels * nx * ny;
  for (const [z, slot] of new Int32Array(memory.buffer, slots, nz).entries()) {
    outputs?.addPlanes(layer, channels, z, 1, new Float32Array(memory.buffer, program.address.volume + 4 * slot * program.planeStride, plane), plane);
  }
}
