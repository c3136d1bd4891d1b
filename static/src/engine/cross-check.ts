// Does a graphics device compute what the CPU does? Asked of two planes of the very input, once for each model and
// device, before anyone sees a label: a driver that compiles a kernel wrongly gives plausible labels and no error.
import type { Backend, BackendModule, EngineInput, Graph, RunOptions, RunResult } from './types';

/** Enough for kernels of 2¹⁷ voxels and more, which some devices have a variant for, at 256². */
const PLANES = 2;
/** Margins (0…255) closer than this may come of rounding; float16 storage differs by some 5. */
const ROUNDING = 26;
/** Share of voxels that may differ by more, for the few where two classes are as good as equal. */
const TOLERATED = 0.002;

/** Rejects with an Error where the answers differ, or as `backend` does. A CPU engine that fails has nothing to compare. */
export async function crossCheck(backend: Backend, cpu: BackendModule, graph: Graph, input: EngineInput, { signal }: RunOptions): Promise<void> {
  const slab = middlePlanes(input, graph.inChannels);
  const options: RunOptions = { margin: true, ...(signal === undefined ? {} : { signal }) };
  const theirs = await backend.run(graph, slab, options);
  const ours = await runOnce(cpu, graph, slab, options);
  if (ours === null) return;
  // +255 … −255: how sure a voxel is of the CPU's label.
  const signed = (voxel: number) => (theirs.labels[voxel] === ours.labels[voxel] ? theirs.margin![voxel]! : -theirs.margin![voxel]!);
  let different = 0;
  for (let voxel = 0; voxel < ours.labels.length; voxel++) if (Math.abs(ours.margin![voxel]! - signed(voxel)) > ROUNDING) different++;
  const share = different / ours.labels.length;
  if (share > TOLERATED) {
    throw new Error(`its answers differ from the CPU's in ${(100 * share).toFixed(1)} % of the voxels tried, a fault of the graphics driver`);
  }
}

/** Null where the engine fails; rejects when aborted. */
async function runOnce(module: BackendModule, graph: Graph, input: EngineInput, options: RunOptions): Promise<RunResult | null> {
  let backend: Backend | null = null;
  try {
    backend = await module.open();
    return await backend.run(graph, input, options);
  } catch {
    options.signal?.throwIfAborted();
    return null;
  } finally {
    backend?.dispose();
  }
}

/** The middle planes of every channel, [c][z][y][x]. */
function middlePlanes({ data, dims: [nx, ny, nz] }: EngineInput, channels: number): EngineInput {
  const planes = Math.min(PLANES, nz);
  const first = (nz - planes) >> 1;
  const area = nx * ny;
  const slab = new Float32Array(channels * planes * area);
  for (let c = 0; c < channels; c++) slab.set(data.subarray((c * nz + first) * area, (c * nz + first + planes) * area), c * planes * area);
  return { data: slab, dims: [nx, ny, planes] };
}
