// Figures by kind of adapter, measured on the software adapters and derived for hardware: docs/engine.md.
import type { Costs } from './pack';

/** A graphics card, a phone, or software: Mesa's llvmpipe, SwiftShader with subgroups, or any other. */
export type AdapterKind = 'hardware' | 'mobile' | 'llvmpipe' | 'swiftshader' | 'software';

export interface Tunables extends Costs {
  /** The convolution spells out its three columns kx: faster, but three times as much to compile. */
  readonly unroll: boolean;
  /** Replaces the other figures on volumes of `fromVoxels` voxels or more, where a kernel that takes longer to compile pays. */
  readonly large: { readonly fromVoxels: number } & Partial<Costs & Pick<Tunables, 'unroll'>>;
  /** Use conv_lanes.wgsl: weights come from a texture, and the lanes of a subgroup share their reads. */
  readonly lanes: boolean;
  /** Workgroup of the convolution, columns × row groups. */
  readonly workgroup: { readonly x: number; readonly y: number };
}

const NEVER = { fromVoxels: Infinity };

export const TUNABLES: Readonly<Record<AdapterKind, Tunables>> = {
  /** The more registers a thread takes, the fewer threads hide memory latency; uniforms have a separate cache. */
  hardware: {
    accumulators: 64, mostRows: 16, mostColumns: 1, activationLoad: 4, weightLoad: 0.25, unroll: false, lanes: false, workgroup: { x: 64, y: 1 },
    large: { fromVoxels: 2 ** 17, unroll: true },
  },
  /** Arm's Mali has 64 registers per thread and spills beyond; long kernels compile slowly. Derived, not measured. */
  mobile: { accumulators: 32, mostRows: 8, mostColumns: 1, activationLoad: 4, weightLoad: 0.25, unroll: false, lanes: false, workgroup: { x: 64, y: 1 }, large: NEVER },
  /** Spilling is cheap, loads gather lane by lane, long kernels take seconds to compile. */
  llvmpipe: {
    accumulators: 128, mostRows: 16, mostColumns: 1, activationLoad: 12, weightLoad: 2, unroll: false, lanes: false, workgroup: { x: 32, y: 1 },
    large: { fromVoxels: 2 ** 21, accumulators: 256 },
  },
  /** Loads cost as much as on llvmpipe, and every write of a sum goes to memory. */
  swiftshader: { accumulators: 128, mostRows: 8, mostColumns: 2, activationLoad: 16, weightLoad: 4, unroll: true, lanes: true, workgroup: { x: 32, y: 1 }, large: NEVER },
  /** SwiftShader without subgroups: every lane checks each load of a weight. */
  software: { accumulators: 128, mostRows: 16, mostColumns: 1, activationLoad: 12, weightLoad: 5, unroll: false, lanes: false, workgroup: { x: 32, y: 1 }, large: NEVER },
};

/** An adapter's figures for a volume. */
export function tunablesFor(tunables: Tunables, voxels: number): Tunables {
  return voxels >= tunables.large.fromVoxels ? { ...tunables, ...tunables.large } : tunables;
}
