// Pipelines of one network: kernel files + defines → compiled once each, all at the same time.
import type { Layer } from '../types';
import activationFile from './activation.wgsl?raw';
import classifierFile from './classifier.wgsl?raw';
import classifyFile from './classify.wgsl?raw';
import convFile from './conv.wgsl?raw';
import { expand, type Defines } from './expand';
import mergeFile from './merge.wgsl?raw';
import normalizeFile from './normalize.wgsl?raw';
import type { Tiling } from './pack';
import statisticsFile from './statistics.wgsl?raw';
import storageFile from './storage.wgsl?raw';

/** What the kernels are specialised by besides the layer. */
export interface Variant {
  readonly f16: boolean;
  readonly margin: boolean;
  readonly logits: boolean;
}

export type Pipeline = Promise<GPUComputePipeline>;

export class Kernels {
  private readonly modules = new Map<string, GPUShaderModule>();
  private readonly pipelines = new Map<string, Pipeline>();

  constructor(
    private readonly device: GPUDevice,
    private readonly workgroup: { readonly x: number; readonly y: number },
  ) {}

  /** Convolution of a layer; with `classes` the end of the network is fused into it. */
  conv(layer: Layer, tiling: Tiling, variant: Variant, classes: number | null): Pipeline {
    const { rows, block, blocks } = tiling;
    const defines = {
      F16: Number(variant.f16),
      ACTIVATION: layer.norm === null ? layer.activation : 'none',
      ROWS: rows,
      BLOCK: block,
      QUADS: Math.ceil(block / 4),
      FUSE: Number(classes !== null),
      MARGIN: Number(variant.margin),
      WIDTH: layer.outChannels,
      CLASSES: classes ?? 0,
    };
    const files = [storageFile, activationFile, ...(classes === null ? [] : [classifierFile]), convFile];
    const constants = {
      WORKGROUP_X: this.workgroup.x,
      WORKGROUP_Y: this.workgroup.y,
      IN_CHANNELS: layer.inChannels,
      BLOCKS: blocks,
      ...(classes === null ? { OUT_CHANNELS: layer.outChannels } : {}),
    };
    const width = `${layer.inChannels}→${layer.outChannels}`;
    return this.pipeline(`conv ${width}${classes === null ? '' : `→${classes} labels`}`, files, defines, constants);
  }

  statistics(variant: Variant): Pipeline {
    return this.pipeline('statistics', [storageFile, statisticsFile], { F16: Number(variant.f16) });
  }

  merge(): Pipeline {
    return this.pipeline('merge', [mergeFile], {});
  }

  normalize(layer: Layer, variant: Variant): Pipeline {
    const defines = { F16: Number(variant.f16), ACTIVATION: layer.activation };
    return this.pipeline('normalize', [storageFile, activationFile, normalizeFile], defines);
  }

  /** Classifier on stored activations; `raw` applies the last block's norm and activation first. */
  classify(layer: Layer, variant: Variant, classes: number, raw: boolean): Pipeline {
    const defines = {
      F16: Number(variant.f16),
      ACTIVATION: raw ? layer.activation : 'none',
      NORM: Number(raw),
      MARGIN: Number(variant.margin),
      LOGITS: Number(variant.logits),
      WIDTH: layer.outChannels,
      CLASSES: classes,
    };
    return this.pipeline('classify', [storageFile, activationFile, classifierFile, classifyFile], defines);
  }

  private pipeline(name: string, files: readonly string[], defines: Defines, constants: Record<string, number> = {}): Pipeline {
    const code = expand(files.join('\n'), defines);
    const key = `${code}\n${JSON.stringify(constants)}`;
    let pipeline = this.pipelines.get(key);
    if (pipeline === undefined) {
      pipeline = this.compile(name, code, constants);
      pipeline.catch(() => undefined); // whoever awaits it is told; a cancelled run does not
      this.pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  private async compile(label: string, code: string, constants: Record<string, number>): Pipeline {
    let module = this.modules.get(code);
    if (module === undefined) {
      module = this.device.createShaderModule({ label, code });
      this.modules.set(code, module);
    }
    try {
      return await this.device.createComputePipelineAsync({ label, layout: 'auto', compute: { module, entryPoint: 'main', constants } });
    } catch (error) {
      const messages = (await module.getCompilationInfo()).messages.map((m) => `line ${m.lineNum}: ${m.message}`);
      throw new Error(`WebGPU: kernel ${label} did not compile: ${messages.join('; ') || String(error)}`, { cause: error });
    }
  }
}
