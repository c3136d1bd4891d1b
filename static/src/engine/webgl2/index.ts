// WebGL2 backend: our own GLSL, for devices without WebGPU.
import { runGraph, type Engine } from '../run-loop';
import type { Backend, BackendModule } from '../types';
import { loseContext, openContext, probeContext } from './device';
import { planFor, prepare } from './run';

export const webgl2: BackendModule = {
  id: 'webgl2',
  probe: () => Promise.resolve(probeContext()),
  open: () => Promise.resolve(openBackend()),
};

function openBackend(): Backend {
  const device = openContext();
  const engine: Engine = {
    name: 'WebGL2',
    memory: 'graphics memory',
    formats: ['float32', 'float16'],
    float32Bytes: (graph, dims, options) => planFor(device, graph, dims, options, 'float32').peakBytes,
    prepare: (run) => Promise.resolve(prepare(device, run)),
  };
  return {
    id: 'webgl2',
    run: (graph, input, options) => runGraph(engine, graph, input, options),
    dispose: () => {
      loseContext(device.gl);
    },
  };
}
