// What an adapter's kind decides, measured on the software adapters and derived for hardware: docs/webgpu.md.
import type { Costs } from './pack';

/** Hardware, a phone's, or a CPU pretending to be a GPU: Mesa's llvmpipe, SwiftShader with subgroups, or any other. */
export type AdapterKind = 'hardware' | 'mobile' | 'llvmpipe' | 'swiftshader' | 'software';

export interface Tunables extends Costs {
  /** From so many voxels on, the convolution spells out its three columns kx: faster, but thrice the program to compile. */
  readonly unrollFromVoxels: number;
  /** Weights come from a texture, different ones in every lane (`subgroups`), and sums are written once per turn: conv_lanes.wgsl. */
  readonly lanes: boolean;
  /** Workgroup of the convolution, columns × row groups. */
  readonly workgroup: { readonly x: number; readonly y: number };
}

export const TUNABLES: Readonly<Record<AdapterKind, Tunables>> = {
  /** Registers bound how many threads hide each other's waiting; uniforms come through a cache of their own. */
  hardware: { accumulators: 64, mostRows: 16, activationLoad: 4, weightLoad: 0.25, unrollFromVoxels: 2 ** 17, lanes: false, workgroup: { x: 64, y: 1 } },
  /** Arm's Mali has 64 registers a thread and spills beyond; long programs compile slowly. Derived, not measured. */
  mobile: { accumulators: 32, mostRows: 8, activationLoad: 4, weightLoad: 0.25, unrollFromVoxels: Infinity, lanes: false, workgroup: { x: 64, y: 1 } },
  /** Spills cheaply; loads gather lane by lane; long programs take it seconds to compile. */
  llvmpipe: { accumulators: 128, mostRows: 16, activationLoad: 12, weightLoad: 2, unrollFromVoxels: Infinity, lanes: false, workgroup: { x: 32, y: 1 } },
  /** Loads cost as much, and every write of a sum goes to memory. */
  swiftshader: { accumulators: 128, mostRows: 8, activationLoad: 16, weightLoad: 4, unrollFromVoxels: 0, lanes: true, workgroup: { x: 32, y: 1 } },
  /** SwiftShader without subgroups: each load of a weight is checked in every lane. */
  software: { accumulators: 128, mostRows: 16, activationLoad: 12, weightLoad: 5, unrollFromVoxels: Infinity, lanes: false, workgroup: { x: 32, y: 1 } },
};
