// Naive reference for every engine: plain loops in float64, layer by layer on the whole volume. For tests on small volumes.
import type { Activation, EngineInput, Graph, Layer } from './types';
import type { Dims } from '../volume/volume';

export interface ReferenceResult {
  readonly labels: Uint8Array;
  /** As `RunResult.probabilities`. */
  readonly probabilities: Uint8Array;
  /** Every layer's output [outChannels][z][y][x], the logits last. */
  readonly outputs: readonly Float64Array[];
}

export function runReference(graph: Graph, input: EngineInput): ReferenceResult {
  const outputs: Float64Array[] = [];
  let values: Float64Array = Float64Array.from(input.data);
  for (const layer of graph.layers) {
    values = convolve(layer, values, input.dims);
    normalize(layer, values);
    values = values.map((v) => activate(layer.activation, v));
    outputs.push(values);
  }
  return { ...argmax(values, graph.classes), outputs };
}

function convolve(layer: Layer, input: Float64Array, [nx, ny, nz]: Dims): Float64Array {
  const { inChannels, outChannels, kernelSize: k, dilation, weight, bias } = layer;
  const n = nx * ny * nz;
  const out = new Float64Array(outChannels * n);
  for (let o = 0; o < outChannels; o++) out.fill(bias[o]!, o * n, (o + 1) * n);
  const offset = (tap: number): number => (tap - (k - 1) / 2) * dilation;
  for (let kx = 0; kx < k; kx++) for (let ky = 0; ky < k; ky++) for (let kz = 0; kz < k; kz++) {
    for (let o = 0; o < outChannels; o++) for (let c = 0; c < inChannels; c++) {
      const w = weight[(((o * inChannels + c) * k + kx) * k + ky) * k + kz]!;
      for (let z = 0; z < nz; z++) for (let y = 0; y < ny; y++) for (let x = 0; x < nx; x++) {
        const [sx, sy, sz] = [x + offset(kx), y + offset(ky), z + offset(kz)];
        if (sx < 0 || sy < 0 || sz < 0 || sx >= nx || sy >= ny || sz >= nz) continue;
        out[o * n + (z * ny + y) * nx + x]! += w * input[c * n + (sz * ny + sy) * nx + sx]!;
      }
    }
  }
  return out;
}

/** In place: mean and biased variance over the whole volume, per channel. */
function normalize({ norm, outChannels }: Layer, values: Float64Array): void {
  if (norm === null) return;
  const n = values.length / outChannels;
  for (let c = 0; c < outChannels; c++) {
    const channel = values.subarray(c * n, (c + 1) * n);
    const mean = channel.reduce((sum, v) => sum + v, 0) / n;
    const variance = channel.reduce((sum, v) => sum + (v - mean) ** 2, 0) / n;
    const scale = (norm.weight?.[c] ?? 1) / Math.sqrt(variance + norm.eps);
    const shift = norm.bias?.[c] ?? 0;
    for (let i = 0; i < n; i++) channel[i] = (channel[i]! - mean) * scale + shift;
  }
}

export function activate(name: Activation, v: number): number {
  switch (name) {
    case 'none': return v;
    case 'relu': return Math.max(v, 0);
    case 'elu': return v > 0 ? v : Math.expm1(v);
    case 'gelu': return 0.5 * v * erfc(-v / Math.SQRT2);
    case 'gelu_tanh': return 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3)));
  }
}

/** Complementary error function to 1.2e-7 relative (Numerical Recipes, erfc by Chebyshev fitting). */
export function erfc(x: number): number {
  const coefficients = [-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277];
  const t = 1 / (1 + 0.5 * Math.abs(x));
  const tail = t * Math.exp(-x * x + coefficients.reduceRight((sum, c) => sum * t + c, 0));
  return x >= 0 ? tail : 2 - tail;
}

function argmax(logits: Float64Array, classes: number): { labels: Uint8Array; probabilities: Uint8Array } {
  const n = logits.length / classes;
  const labels = new Uint8Array(n);
  const probabilities = new Uint8Array((classes - 1) * n);
  for (let i = 0; i < n; i++) {
    const values = Array.from({ length: classes }, (_, k) => logits[k * n + i]!);
    const best = Math.max(...values);
    const label = values.indexOf(best);
    labels[i] = label;
    const total = values.reduce((sum, v) => sum + Math.exp(v - best), 0);
    for (let k = 1; k < classes; k++) {
      const value = Math.floor((255 * Math.exp(values[k]! - best)) / total + 0.5);
      probabilities[(k - 1) * n + i] = k !== label ? Math.min(value, 127) : classes === 2 ? Math.max(value, 128) : value;
    }
  }
  return { labels, probabilities };
}
