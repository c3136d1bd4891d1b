// WebGL2 backend: our own GLSL, for devices without WebGPU.
import type { Backend, BackendModule, EngineInput, Graph, RunOptions, RunResult } from '../types';
import { loseContext, openContext, OutOfMemory, probeContext } from './device';
import { runGraph } from './run';

export const webgl2: BackendModule = {
  id: 'webgl2',
  probe: () => Promise.resolve(probeContext()),
  open: () => Promise.resolve(openBackend()),
};

function openBackend(): Backend {
  const device = openContext();
  return {
    id: 'webgl2',
    /** 32-bit storage; 16-bit (agreement as stated for f16) where the device has no room for that. */
    async run(graph: Graph, input: EngineInput, options: RunOptions = {}): Promise<RunResult> {
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
