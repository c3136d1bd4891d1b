// Prepares a run on WebGL2. The run loop then carries the plan's steps out (steps.ts).
import { convolutionsOf } from '../graph';
import type { Plan } from '../plan';
import { tasksOf, type Prepared, type Run } from '../run-loop';
import { bytesPerValue, type StorageFormat } from '../storage';
import type { Graph, RunOptions } from '../types';
import type { Dims } from '../../volume/volume';
import type { GlDevice } from './device';
import { planesFor, tilingOf } from './layout';
import { allocate, release } from './memory';
import { Painter } from './painter';
import { planTextures } from './planes';
import { Steps } from './steps';

/** Throws an Error with the numbers where one plane exceeds this device's textures. */
export function planFor(device: GlDevice, graph: Graph, dims: Dims, options: RunOptions, storage: StorageFormat): Plan {
  const maxTextureBytes = options.maxBufferBytes ?? Infinity;
  const { inspect, probabilities = false } = options;
  return planTextures(device, graph, dims, { bytesPerValue: bytesPerValue(storage), maxTextureBytes, inspect: inspect !== undefined, probabilities });
}

/** Allocates; shaders are compiled when a layer first needs them. Throws OutOfMemory, or an Error on device loss. */
export function prepare(device: GlDevice, run: Run): Prepared {
  const { graph, input, options, meter } = run;
  const plan = planFor(device, graph, input.dims, options, run.storage);
  run.usage.neededBytes = plan.peakBytes;
  const memory = allocate(device, run, plan, scratchPlanes(plan, graph, input.dims[2], device));
  run.atEnd(() => { release(device.gl, memory); });
  const painter = new Painter(device, run.signal, run.usage);
  run.atEnd(() => { painter.free(); });
  const steps = new Steps(device, run, memory, painter);
  const endLayer = async (layer: number) => {
    await painter.wait();
    meter.done({ layer, macs: 0 });
  };
  return { tasks: tasksOf(plan, graph, (step) => steps.carryOut(step)), endLayer, finish: endLayer };
}

/** The most superfluous planes that a draw of the plan computes (`planesFor`). */
function scratchPlanes(plan: Plan, graph: Graph, nz: number, device: GlDevice): number {
  const layers = convolutionsOf(graph);
  return Math.max(...plan.steps.map((step) => {
    if (step.kind !== 'conv') return 0;
    return planesFor(step.outs.length, tilingOf(layers[step.layer]!, nz, device).planes) - step.outs.length;
  }));
}
