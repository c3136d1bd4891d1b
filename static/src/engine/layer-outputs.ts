// Layers' outputs for `inspect`: planes as an engine reads them back → whole volumes [channel][z][y][x].
import type { RunOptions } from './types';
import type { Dims } from '../volume/volume';

export class LayerOutputs {
  private readonly pending = new Map<number, { readonly values: Float32Array; planes: number }>();

  constructor(private readonly dims: Dims, private readonly inspect: NonNullable<RunOptions['inspect']>) {}

  /**
   * Planes z … z + planes − 1 of a layer's output as [z][channel][y][x], `planeStride` values from plane to plane.
   * `inspect` gets the layer with its last plane.
   */
  addPlanes(layer: number, channels: number, z: number, planes: number, values: Float32Array, planeStride: number): void {
    const [nx, ny, nz] = this.dims;
    const area = nx * ny;
    const whole = this.pending.get(layer) ?? { values: new Float32Array(channels * nz * area), planes: 0 };
    this.pending.set(layer, whole);
    for (let i = 0; i < planes; i++) {
      for (let c = 0; c < channels; c++) {
        const from = i * planeStride + c * area;
        whole.values.set(values.subarray(from, from + area), (c * nz + z + i) * area);
      }
    }
    whole.planes += planes;
    if (whole.planes < nz) return;
    this.pending.delete(layer);
    this.add(layer, whole.values);
  }

  /** A layer's whole output [channel][z][y][x]. */
  add(layer: number, values: Float32Array): void {
    this.inspect(layer, values);
  }
}
