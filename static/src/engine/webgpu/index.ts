// The WebGPU backend: our own WGSL, within the default limits of any device.
import { machineMemoryGiB, savesMemory } from '../storage';
import type { Backend, BackendModule, EngineInput, Graph, RunOptions, RunResult } from '../types';
import { openDevice, probeDevice } from './device';
import { Kernels } from './kernels';
import { OutOfMemory } from './memory';
import { planFor, runGraph } from './run';
import { TUNABLES, type Tunables } from './tunables';

export interface WebGpuOptions {
  /** Store activations as float16 (needs the adapter's `shader-f16`) or not; chosen for each run where not given. */
  readonly f16?: boolean;
  /** Time every pass by the device's own clock; hardware alone where not given. */
  readonly timestamps?: boolean;
  /** For measurements: other figures than the adapter's own. */
  readonly tunables?: Partial<Tunables>;
}

/** Rejects with an Error whose message says why WebGPU cannot run here. */
export async function openWebGpu(options: WebGpuOptions = {}): Promise<Backend> {
  const open = await openDevice(options.f16 ?? false, options.timestamps);
  const tunables = { ...TUNABLES[open.kind], ...options.tunables };
  const kernels = new Kernels(open.device, tunables);
  const canHalve = options.f16 === undefined && open.device.features.has('shader-f16');

  /** float32 where it fits; float16 storage (agreement as stated for it) where only that does. */
  async function run(graph: Graph, input: EngineInput, runOptions: RunOptions = {}): Promise<RunResult> {
    const runWith = (f16: boolean): Promise<RunResult> => runGraph(open, kernels, tunables, f16, graph, input, runOptions);
    const f16 = options.f16 ?? (canHalve && savesMemory(planFor(open.device, graph, runOptions.storedAsFor ?? input.dims, runOptions, 4).peakBytes, machineMemoryGiB()));
    try {
      return await runWith(f16);
    } catch (error) {
      if (!(error instanceof OutOfMemory) || f16 || !canHalve) throw error;
      return runWith(true);
    }
  }

  return {
    id: 'webgpu',
    run,
    dispose: () => {
      open.device.destroy();
    },
  };
}

export const webgpu: BackendModule = {
  id: 'webgpu',
  probe: probeDevice,
  open: () => openWebGpu(),
};
