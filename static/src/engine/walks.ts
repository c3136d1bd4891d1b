// The orders in which a layer's output planes are computed. Pure.
//
// A convolution with dilation d reads the planes z − d, z and z + d. The order decides how long an input plane must be
// kept: an input chunk that no later visit reads goes back to its pool, so that the planner (plan.ts) can reuse it.

/** Output planes z … z + planes − 1, z + d … z + d + planes − 1, and so on: `runs` runs, spaced by the dilation d. */
export interface ConvPlanes {
  readonly z: number;
  readonly planes: number;
  readonly runs: number;
}

/** Convolutions that complete output chunks. Chunk c holds the planes c·planesPerChunk … (c + 1)·planesPerChunk − 1. */
export interface Visit {
  readonly convs: readonly ConvPlanes[];
  /** The output chunks that these convolutions complete. */
  readonly chunks: readonly number[];
  /** The input chunks that no later visit reads. */
  readonly released: readonly number[];
}

/** The visits of one layer, in order; together they compute every output plane once. */
export type Walk = (layer: { readonly index: number; readonly dilation: number }, nz: number, planesPerChunk: number) => readonly Visit[];

/**
 * WebGPU's walk: chunks in ascending z. An input chunk is released as soon as no later output reads it, so the peak is
 * about 1 + (d + planesPerChunk)/nz activation volumes instead of two.
 */
export const ascendingChunks: Walk = ({ dilation }, nz, planesPerChunk) => {
  const chunks = Array.from({ length: Math.ceil(nz / planesPerChunk) }, (_, chunk) => chunk);
  return chunks.map((chunk) => {
    const start = chunk * planesPerChunk;
    const end = Math.min(start + planesPerChunk, nz);
    const convs = windowCuts(start, end, dilation, nz, planesPerChunk).map(([z, next]) => ({ z, planes: next - z, runs: 1 }));
    const released = chunks.filter((input) => {
      const last = endOfUse(input, dilation, nz, planesPerChunk);
      return start < last && last <= end;
    });
    return { convs, chunks: [chunk], released };
  });
};

/** Output planes [start, end) cut so that each of the windows at −d, 0, +d lies in one chunk or outside the volume. */
export function windowCuts(start: number, end: number, dilation: number, nz: number, planesPerChunk: number): [number, number][] {
  const cuts = [start];
  for (let z = start + 1; z < end; z++) {
    if ((z - dilation) % planesPerChunk === 0 || (z + dilation) % planesPerChunk === 0 || z + dilation === nz) cuts.push(z);
  }
  return cuts.map((cut, i) => [cut, cuts[i + 1] ?? end]);
}

/** One past the last output plane that reads the input chunk. */
function endOfUse(chunk: number, dilation: number, nz: number, planesPerChunk: number): number {
  const first = chunk * planesPerChunk;
  return Math.min(first + planesPerChunk + (first + dilation < nz ? dilation : 0), nz);
}

/**
 * WebGL2's walk, for chunks of one plane: z = r, r + d, r + 2d, … for r = 0 … d − 1. A convolution computes up to
 * `planesOf(layer)` of these planes, which share what they read. The peak is one activation volume and a few planes,
 * whatever the dilation.
 */
export function residueClasses(planesOf: (layer: number) => number): Walk {
  return ({ index, dilation }, nz) => {
    const most = planesOf(index);
    const visits: Visit[] = [];
    for (let residue = 0; residue < Math.min(dilation, nz); residue++) {
      for (let z = residue; z < nz; z += most * dilation) {
        const runs = Math.min(most, Math.ceil((nz - z) / dilation));
        const next = z + runs * dilation;
        const releasedEnd = next < nz ? next - dilation : nz;
        visits.push({
          convs: [{ z, planes: 1, runs }],
          chunks: Array.from({ length: runs }, (_, k) => z + k * dilation),
          released: planesBetween(Math.max(z - dilation, residue), releasedEnd, dilation),
        });
      }
    }
    return visits;
  };
}

function planesBetween(start: number, end: number, step: number): number[] {
  return Array.from({ length: Math.max(0, Math.ceil((end - start) / step)) }, (_, k) => start + k * step);
}
