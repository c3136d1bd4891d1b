// Exact order statistics without sorting the whole volume.
import { valueCounts } from './short-integers';
import type { VoxelArray } from './volume';

const BINS = 1 << 14;
const FEW = 1 << 16;

/** The values of these ranks (0 = smallest) among finite values. */
export function valuesAtRanks(data: VoxelArray, ranks: readonly number[]): number[] {
  const { values, counts: ofValues } = valueCounts(data);
  if (ofValues !== null) return ofCounts(ofValues, ranks).map(({ at }) => values[at]!);
  if (data.length <= FEW) {
    const sorted = Float64Array.from(data).sort();
    return ranks.map((rank) => sorted[rank]!);
  }
  let [min, max] = [Infinity, -Infinity];
  for (let n = 0; n < data.length; n++) {
    if (data[n]! < min) min = data[n]!;
    if (data[n]! > max) max = data[n]!;
  }
  if (min === max) return ranks.map(() => min);
  // Bins grow with the value, so a rank lies in the bin where the cumulative count passes it.
  const range = max - min;
  const counts = new Uint32Array(BINS + 1);
  for (let n = 0; n < data.length; n++) counts[((data[n]! - min) / range) * BINS | 0]!++;
  const wanted = new Map<number, { readonly below: number; readonly places: number[] }>();
  ofCounts(counts, ranks).forEach(({ at, below }, place) => {
    const known = wanted.get(at);
    if (known === undefined) wanted.set(at, { below, places: [place] });
    else known.places.push(place);
  });
  const out = new Array<number>(ranks.length);
  for (const [at, { below, places }] of wanted) {
    const inBin = new Float64Array(counts[at]!);
    let filled = 0;
    for (let n = 0; n < data.length; n++) if ((((data[n]! - min) / range) * BINS | 0) === at) inBin[filled++] = data[n]!;
    valuesAtRanks(inBin, places.map((place) => ranks[place]! - below)).forEach((value, n) => { out[places[n]!] = value; });
  }
  return out;
}

/** For each rank the bin that holds it, and the number of values in the bins before. */
function ofCounts(counts: Uint32Array | Float64Array, ranks: readonly number[]): { readonly at: number; readonly below: number }[] {
  return ranks.map((rank) => {
    let [at, below] = [0, 0];
    while (below + counts[at]! <= rank) below += counts[at++]!;
    return { at, below };
  });
}

/** The values below which these shares of all voxels lie: rank ⌊share · n⌋ for shares below ½, else ⌈share · n⌉ − 1. */
export function valuesAtShares(data: VoxelArray, shares: readonly number[]): number[] {
  const n = data.length;
  return valuesAtRanks(data, shares.map((share) => (share < 0.5 ? Math.floor(share * n) : Math.ceil(share * n) - 1)));
}
