// The WebGPU backend: our own WGSL, within the default limits of any device.
import { runGraph, type Engine } from '../run-loop';
import type { Backend, BackendModule } from '../types';
import { openDevice, probeDevice } from './device';
import { Kernels } from './kernels';
import { planFor, prepare } from './run';
import { TUNABLES, type Tunables } from './tunables';

export interface WebGpuOptions {
  /** Store activations as float16 (needs the adapter's `shader-f16`) or as float32; chosen for each run where not given. */
  readonly f16?: boolean;
  /** Time every dispatch by the device's own clock; on hardware only where not given. */
  readonly timestamps?: boolean;
  /** For measurements: these figures instead of the adapter's. */
  readonly tunables?: Partial<Tunables>;
}

/** Rejects with an Error whose message says why WebGPU cannot run here. */
export async function openWebGpu(options: WebGpuOptions = {}): Promise<Backend> {
  const open = await openDevice(options.f16 ?? false, options.timestamps);
  const tunables = { ...TUNABLES[open.kind], ...options.tunables };
  const kernels = new Kernels(open.device, tunables);
  const canHalve = options.f16 ?? open.device.features.has('shader-f16');
  const engine: Engine = {
    name: 'WebGPU',
    memory: 'graphics memory',
    formats: options.f16 === true ? ['float16'] : canHalve ? ['float32', 'float16'] : ['float32'],
    float32Bytes: (graph, dims, runOptions) => planFor(open.device, graph, dims, runOptions, 'float32').peakBytes,
    prepare: (run) => prepare(open, kernels, tunables, run),
  };
  return {
    id: 'webgpu',
    run: (graph, input, runOptions) => runGraph(engine, graph, input, runOptions),
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
