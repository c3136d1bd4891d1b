// What an adapter's kind decides, measured on the software adapters and derived for hardware: docs/engine.md.
import type { Costs } from './pack';

/** Hardware, a phone's, or a CPU pretending to be a GPU: Mesa's llvmpipe, SwiftShader with subgroups, or any other. */
export type AdapterKind = 'hardware' | 'mobile' | 'llvmpipe' | 'swiftshader' | 'software';

export interface Tunables extends Costs {
  /** The convolution spells out its three columns kx: faster, but thrice the program to compile. */
  readonly unroll: boolean;
  /** What replaces the rest on volumes of so many voxels or more, worth a program that takes longer to compile. */
  readonly large: { readonly fromVoxels: number } & Partial<Costs & Pick<Tunables, 'unroll'>>;
  /** Weights come from a texture, different ones in every lane (`subgroups`), and sums are written once per turn: conv_lanes.wgsl. */
  readonly lanes: boolean;
  /** Workgroup of the convolution, columns × row groups. */
  readonly workgroup: { readonly x: number; readonly y: number };
}

const NEVER = { fromVoxels: Infinity };

export const TUNABLES: Readonly<Record<AdapterKind, Tunables>> = {
  /** Registers bound how many threads hide each other's waiting; uniforms come through a cache of their own. */
  hardware: {
    accumulators: 64, mostRows: 16, mostColumns: 1, activationLoad: 4, weightLoad: 0.25, unroll: false, lanes: false, workgroup: { x: 64, y: 1 },
    large: { fromVoxels: 2 ** 17, unroll: true },
  },
  /** Arm's Mali has 64 registers a thread and spills beyond; long programs compile slowly. Derived, not measured. */
  mobile: { accumulators: 32, mostRows: 8, mostColumns: 1, activationLoad: 4, weightLoad: 0.25, unroll: false, lanes: false, workgroup: { x: 64, y: 1 }, large: NEVER },
  /** Spills cheaply; loads gather lane by lane; long programs take it seconds to compile. */
  llvmpipe: {
    accumulators: 128, mostRows: 16, mostColumns: 1, activationLoad: 12, weightLoad: 2, unroll: false, lanes: false, workgroup: { x: 32, y: 1 },
    large: { fromVoxels: 2 ** 21, accumulators: 256 },
  },
  /** Loads cost as much, and every write of a sum goes to memory. */
  swiftshader: { accumulators: 128, mostRows: 8, mostColumns: 2, activationLoad: 16, weightLoad: 4, unroll: true, lanes: true, workgroup: { x: 32, y: 1 }, large: NEVER },
  /** SwiftShader without subgroups: each load of a weight is checked in every lane. */
  software: { accumulators: 128, mostRows: 16, mostColumns: 1, activationLoad: 12, weightLoad: 5, unroll: false, lanes: false, workgroup: { x: 32, y: 1 }, large: NEVER },
};

/** An adapter's figures for a volume. */
export function tunablesFor(tunables: Tunables, voxels: number): Tunables {
  return voxels >= tunables.large.fromVoxels ? { ...tunables, ...tunables.large } : tunables;
}
