// Progress, timings and memory figures of one run, with the same meaning for every engine.
import { macsPerVoxel, networkMacsPerVoxel } from './graph';
import type { Graph, LayerTiming, RunOptions } from './types';

/** Work that an engine has finished. */
export interface Done {
  /** Index in graph.layers. A classifier that is fused into the last convolution counts to that layer. */
  readonly layer: number;
  /** Multiply-adds; norms and copies count zero. */
  readonly macs: number;
  /** Time in the kernels by the device's clock, where it has one. */
  readonly gpuMilliseconds?: number | null;
}

export class Meter {
  private readonly totalMacs: number;
  private macs = 0;
  private prepareMs = 0;
  private since = performance.now();
  private readonly spent: Record<'milliseconds' | 'gpuMilliseconds', number>[];
  /** Whether the device has a clock. */
  private hasGpuClock = false;

  constructor(private readonly graph: Graph, voxels: number, private readonly onProgress: RunOptions['onProgress']) {
    this.totalMacs = voxels * networkMacsPerVoxel(graph);
    this.spent = graph.layers.map(() => ({ milliseconds: 0, gpuMilliseconds: 0 }));
    this.report(0, 0);
  }

  /** The time until now is the entry `prepare`. */
  prepared(): void {
    this.prepareMs = this.lap();
  }

  /** The wall-clock time since the last call of `done`, `took` or `prepared` counts to the layer. */
  done({ layer, macs, gpuMilliseconds = null }: Done): void {
    this.spent[layer]!.milliseconds += this.lap();
    if (gpuMilliseconds !== null) {
      this.hasGpuClock = true;
      this.spent[layer]!.gpuMilliseconds += gpuMilliseconds;
    }
    this.reached(layer, this.macs + macs);
  }

  /** For an engine that measured the wall-clock time of its layers itself. */
  took(layer: number, milliseconds: number): void {
    this.spent[layer]!.milliseconds += milliseconds;
    this.since = performance.now();
  }

  /** `macs` multiply-adds are done since the start of the run, the newest in `layer`. */
  reached(layer: number, macs: number): void {
    this.macs = Math.max(this.macs, macs);
    this.report(layer, Math.min(this.macs / this.totalMacs, 1));
  }

  /** Reports the end of the run; returns its timings. */
  finish(): readonly LayerTiming[] {
    this.report(this.graph.layers.length - 1, 1);
    const layers = this.graph.layers.map(({ name }, i) => {
      const { milliseconds, gpuMilliseconds } = this.spent[i]!;
      return { name, milliseconds, ...(this.hasGpuClock ? { gpuMilliseconds } : {}) };
    });
    return [{ name: 'prepare', milliseconds: this.prepareMs }, ...layers];
  }

  private lap(): number {
    const now = performance.now();
    const milliseconds = now - this.since;
    this.since = now;
    return milliseconds;
  }

  private report(layer: number, fraction: number): void {
    this.onProgress?.({ layer, layers: this.graph.layers.length, fraction });
  }
}

/** Multiply-adds of `voxels` voxels of a layer, and of the classifier where it is fused into that layer. */
export function macsOf(graph: Graph, layer: number, voxels: number, fused: boolean): number {
  return voxels * (macsPerVoxel(graph.layers[layer]!) + (fused ? macsPerVoxel(graph.layers.at(-1)!) : 0));
}

/** Bytes that a run has allocated on its device. */
export class Usage {
  peakBytes = 0;
  largestBufferBytes = 0;
  /** Bytes that the run needs at least, as far as the plan says; set before anything is allocated. */
  neededBytes = 0;
  private bytes = 0;

  take(bytes: number): void {
    this.takeConstants(bytes);
    this.largestBufferBytes = Math.max(this.largestBufferBytes, bytes);
  }

  /** Weights, whose size does not depend on the volume: they are no candidate for the largest buffer. */
  takeConstants(bytes: number): void {
    this.holds(this.bytes + bytes);
  }

  free(bytes: number): void {
    this.bytes -= bytes;
  }

  /** All that is allocated now; for an engine whose library counts its memory. */
  holds(bytes: number): void {
    this.bytes = bytes;
    this.peakBytes = Math.max(this.peakBytes, bytes);
  }
}
