// The WebGPU backend: our own WGSL, within the default limits of any device.
import type { Backend, BackendModule } from '../types';
import { openDevice, probeDevice } from './device';
import { Kernels } from './kernels';
import { runGraph } from './run';
import type { Tunables } from './steps';

export interface WebGpuOptions {
  /** Store activations as float16 (needs the adapter's `shader-f16`); arithmetic stays float32. */
  readonly f16?: boolean;
}

/** Rejects with an Error whose message says why WebGPU cannot run here. */
export async function openWebGpu(options: WebGpuOptions = {}): Promise<Backend> {
  const f16 = options.f16 ?? false;
  const open = await openDevice(f16);
  // A CPU pretending to be a GPU spills cheaply and gains from every saved load; a GPU needs its registers
  // for occupancy.
  const tunables: Tunables = { f16, accumulators: open.software ? 128 : 64, workgroup: { x: 32, y: 1 } };
  const kernels = new Kernels(open.device, tunables.workgroup);
  return {
    id: 'webgpu',
    run: (graph, input, runOptions = {}) => runGraph(open, kernels, tunables, graph, input, runOptions),
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
