// What an adapter's kind decides, measured on the software adapters and derived for hardware: docs/webgpu.md.
import type { Costs } from './pack';

/** Hardware, or a CPU pretending to be a GPU: Mesa's llvmpipe, or SwiftShader and any other. */
export type AdapterKind = 'hardware' | 'llvmpipe' | 'swiftshader';

export interface Tunables extends Costs {
  /** From so many voxels on, the convolution spells out its three columns kx: faster, but thrice the program to compile. */
  readonly unrollFromVoxels: number;
  /** Workgroup of the convolution, columns × row groups. */
  readonly workgroup: { readonly x: number; readonly y: number };
}

export const TUNABLES: Readonly<Record<AdapterKind, Tunables>> = {
  /** Registers bound how many threads hide each other's waiting; uniforms come through a cache of their own. */
  hardware: { accumulators: 64, activationLoad: 4, weightLoad: 0.25, unrollFromVoxels: 2 ** 17, workgroup: { x: 64, y: 1 } },
  /** Spills cheaply; loads gather lane by lane; long programs take it seconds to compile. */
  llvmpipe: { accumulators: 128, activationLoad: 12, weightLoad: 2, unrollFromVoxels: Infinity, workgroup: { x: 32, y: 1 } },
  /** The same, and each load of a weight is checked in every lane as well. Long programs are slower, too. */
  swiftshader: { accumulators: 128, activationLoad: 12, weightLoad: 5, unrollFromVoxels: Infinity, workgroup: { x: 32, y: 1 } },
};
