// How long a run will take on this device: the model on a small cube, and its time per voxel.
import type { BackendModule, EngineInput, Graph, RunOptions, RunResult } from '../engine/types';
import type { Dims } from '../volume/volume';

/** Edges of the cubes; a larger one is tried where the run before was too short to measure. */
const EDGES = [8, 16, 32, 64, 96];
/** Shortest run that is measured; a shorter one is mostly overhead. */
const LONG_ENOUGH_MS = 20;

const voxelCount = ([x, y, z]: Dims): number => x * y * z;

/** Seconds that a run on `dims` would take, without reading, conforming and compiling. Rejects where the engine fails. */
export async function secondsOfRun(graph: Graph, dims: Dims, module: BackendModule, options: RunOptions): Promise<number> {
  const backend = await module.open();
  try {
    let milliseconds = 0;
    let voxels = 1;
    for (const edge of EDGES) {
      const cube: Dims = [edge, edge, edge];
      voxels = voxelCount(cube);
      milliseconds = afterPreparing(await backend.run(graph, constant(graph, cube), options));
      if (milliseconds >= LONG_ENOUGH_MS) break;
    }
    return (milliseconds / 1000) * (voxelCount(dims) / voxels);
  } finally {
    backend.dispose();
  }
}

function constant(graph: Graph, dims: Dims): EngineInput {
  return { data: new Float32Array(graph.inChannels * voxelCount(dims)).fill(0.5), dims };
}

/** Time in the layers; `prepare` compiles, which a large volume does not do more often. */
function afterPreparing({ timings }: RunResult): number {
  return timings.filter(({ name }) => name !== 'prepare').reduce((sum, layer) => sum + layer.milliseconds, 0);
}
