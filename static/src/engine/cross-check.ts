// Compares a graphics device with the CPU on a piece of the input, once for each model and device, before labels are shown:
// a driver that compiles a kernel wrongly gives plausible labels and no error.
import type { Backend, BackendModule, EngineInput, Graph, RunOptions, RunResult } from './types';
import { probabilityAt } from '../volume/confidence';
import type { Dims } from '../volume/volume';

/**
 * Size of the piece along x and z. Along y it is whole, because kernels are cut by y. Dilations of up to 16 have neighbours
 * in it on both sides, and 18 · 256 · 34 voxels are more than 2¹⁷, from where on some devices use another kernel variant.
 */
const [COLUMNS, PLANES] = [18, 34];
/** A difference of probabilities (0…255) up to this may be rounding; float16 storage differs by about 3. */
const ROUNDING = 13;
/** Share of voxels that may differ by more: the few where two classes are nearly equal. */
const TOLERATED = 0.002;

/** Rejects with an Error where the labels differ, or as `backend` does. If the CPU engine fails, nothing is compared. */
export async function crossCheck(backend: Backend, cpu: BackendModule, graph: Graph, input: EngineInput, { signal }: RunOptions): Promise<void> {
  const piece = middleOf(input, graph.inChannels);
  const options: RunOptions = { probabilities: true, storedAsFor: input.dims, ...(signal === undefined ? {} : { signal }) };
  const theirs = await backend.run(graph, piece, options);
  const ours = await runOnce(cpu, graph, piece, options);
  if (ours === null) return;
  const share = differing(theirs, ours) / ours.labels.length;
  if (share > TOLERATED) {
    throw new Error(`its answers differ from the CPU's in ${(100 * share).toFixed(1)} % of the voxels tried, a fault of the graphics driver`);
  }
}

/** Number of voxels where a probability differs by more than rounding, or the label although the two classes are not nearly equal. */
function differing(theirs: RunResult, ours: RunResult): number {
  const voxels = ours.labels.length;
  const [a, b] = [theirs.probabilities!, ours.probabilities!];
  const classes = 1 + b.length / voxels;
  let count = 0;
  for (let voxel = 0; voxel < voxels; voxel++) {
    let worst = 0;
    for (let at = voxel; at < b.length; at += voxels) worst = Math.max(worst, Math.abs(a[at]! - b[at]!));
    const [theirLabel, ourLabel] = [theirs.labels[voxel]!, ours.labels[voxel]!];
    // A label that the model does not have is found in the whole volume too, with a better message (choose.ts).
    if (worst <= ROUNDING && theirLabel !== ourLabel && theirLabel < classes) {
      worst = (probabilityAt(b, voxels, voxel, ourLabel) - probabilityAt(b, voxels, voxel, theirLabel)) / 2;
    }
    if (worst > ROUNDING) count++;
  }
  return count;
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

/** The middle of the volume, [channel][z][y][x]. */
function middleOf({ data, dims }: EngineInput, channels: number): EngineInput {
  const [nx, ny, nz] = dims;
  const [columns, planes] = [Math.min(COLUMNS, nx), Math.min(PLANES, nz)];
  const [left, first] = [(nx - columns) >> 1, (nz - planes) >> 1];
  const piece = new Float32Array(channels * planes * ny * columns);
  let to = 0;
  for (let c = 0; c < channels; c++) {
    for (let z = first; z < first + planes; z++) {
      for (let y = 0; y < ny; y++, to += columns) {
        const from = ((c * nz + z) * ny + y) * nx + left;
        piece.set(data.subarray(from, from + columns), to);
      }
    }
  }
  const piecesDims: Dims = [columns, ny, planes];
  return { data: piece, dims: piecesDims };
}
