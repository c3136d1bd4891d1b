// Row statistics → per-channel norm, merged in float64 (Chan, Golub & LeVeque 1983), so that no digits cancel.
import type { InstanceNorm } from '../types';

/** Running count, mean and sum of squared deviations of each channel. */
export class ChannelStatistics {
  private count = 0;
  private readonly mean: Float64Array;
  private readonly squares: Float64Array;

  constructor(private readonly channels: number) {
    this.mean = new Float64Array(channels);
    this.squares = new Float64Array(channels);
  }

  /**
   * Adds rows of `width` voxels: texels [plane][group][row] of row means and row sums of squared deviations,
   * as `statistics.frag.glsl` writes them.
   */
  addRows(rowMeans: Float32Array, rowSquares: Float32Array, planes: number, rows: number, width: number): void {
    const groups = Math.ceil(this.channels / 4);
    for (let p = 0; p < planes; p++) {
      for (let row = 0; row < rows; row++) {
        const total = this.count + width;
        for (let c = 0; c < this.channels; c++) {
          const at = ((p * groups + (c >> 2)) * rows + row) * 4 + (c & 3);
          const delta = rowMeans[at]! - this.mean[c]!;
          this.mean[c]! += (delta * width) / total;
          this.squares[c]! += rowSquares[at]! + (delta * delta * this.count * width) / total;
        }
        this.count = total;
      }
    }
  }

  /** Per channel; the norm of a value is (value − mean) · scale + shift. */
  norm(norm: InstanceNorm): { mean: Float64Array; scale: Float64Array; shift: Float64Array } {
    const scale = this.squares.map((squares, c) => (norm.weight?.[c] ?? 1) / Math.sqrt(squares / this.count + norm.eps));
    const shift = new Float64Array(this.channels).map((_, c) => norm.bias?.[c] ?? 0);
    return { mean: this.mean.slice(), scale, shift };
  }
}
