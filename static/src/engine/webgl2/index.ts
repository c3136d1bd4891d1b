// WebGL2 backend: our own GLSL, for devices without WebGPU.
import { machineMemoryGiB, savesMemory } from '../storage';
import type { Backend, BackendModule, EngineInput, Graph, RunOptions, RunResult } from '../types';
import type { Dims } from '../../volume/volume';
import { groupsOf } from './layout';
import { loseContext, openContext, OutOfMemory, probeContext } from './device';
import { runGraph } from './steps';

export const webgl2: BackendModule = {
  id: 'webgl2',
  probe: () => Promise.resolve(probeContext()),
  open: () => Promise.resolve(openBackend()),
};

function openBackend(): Backend {
  const device = openContext();
  return {
    id: 'webgl2',
    /** 32-bit storage; 16-bit (agreement as stated for f16) where the machine is short of memory or the device has no room for it. */
    async run(graph: Graph, input: EngineInput, options: RunOptions = {}): Promise<RunResult> {
      if (savesMemory(activationBytes(graph, options.storedAsFor ?? input.dims), machineMemoryGiB())) return runGraph(device, graph, input, options, 2);
      try {
        return await runGraph(device, graph, input, options, 4);
      } catch (error) {
        if (!(error instanceof OutOfMemory)) throw error;
        return runGraph(device, graph, input, options, 2);
      }
    },
    dispose: () => {
      loseContext(device.gl);
    },
  };
}

/** One activation volume in 32 bits: nearly all that a run takes. */
function activationBytes(graph: Graph, dims: Dims): number {
  const groups = groupsOf(Math.max(...graph.layers.slice(0, -1).map((layer) => layer.outChannels)));
  return dims[0] * dims[1] * dims[2] * groups * 16;
}
