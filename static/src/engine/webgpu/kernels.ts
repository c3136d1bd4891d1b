// The compute pipelines of a device: kernel files + defines → compiled once each.
import type { Layer } from '../types';
import activationFile from './activation.wgsl?raw';
import classifierFile from './classifier.wgsl?raw';
import classifyFile from './classify.wgsl?raw';
import convFile from './conv.wgsl?raw';
import convDispatchFile from './conv_dispatch.wgsl?raw';
import convLanesFile from './conv_lanes.wgsl?raw';
import { expand, type Defines } from '../expand';
import mergeFile from './merge.wgsl?raw';
import normalizeFile from './normalize.wgsl?raw';
import { biasAt, blockBytes, quadsOf, texelsOf, type Tiling } from './pack';
import statisticsFile from './statistics.wgsl?raw';
import storageFile from './storage.wgsl?raw';
import type { Tunables } from './tunables';

/** Kernels are compiled for each of these, besides for each layer. */
export interface Variant {
  readonly f16: boolean;
  readonly probabilities: boolean;
  readonly logits: boolean;
}

export interface ConvTiling extends Tiling {
  /** Columns kx that the kernel spells out per turn of its loop. */
  readonly copies: 1 | 3;
}

export type Pipeline = Promise<GPUComputePipeline>;

export class Kernels {
  private readonly modules = new Map<string, GPUShaderModule>();
  private readonly pipelines = new Map<string, Pipeline>();

  constructor(
    private readonly device: GPUDevice,
    private readonly tunables: Tunables,
  ) {}

  /** Whether the layer's weights are textures that the lanes of a subgroup read together (conv_lanes.wgsl), not buffers. */
  lanes({ inChannels }: Layer): boolean {
    return this.tunables.lanes && texelsOf(inChannels, 1).height <= this.device.limits.maxTextureDimension2D;
  }

  /** Convolution of a layer to `block` of its output channels; with `classes` the end of the network is fused into it. */
  conv(layer: Layer, { rows, columns, copies }: ConvTiling, block: number, variant: Variant, classes: number | null): Pipeline {
    const { inChannels, outChannels } = layer;
    const bytes = blockBytes(inChannels, block);
    const lanes = this.lanes(layer);
    const { workgroup } = this.tunables;
    const defines = {
      F16: Number(variant.f16),
      ACTIVATION: layer.norm === null ? layer.activation : 'none',
      ROWS: rows,
      COLUMNS: columns,
      COPIES: copies,
      BLOCK: block,
      QUADS: quadsOf(block),
      BIAS_AT: biasAt(inChannels, block),
      BIAS_QUADS: Math.ceil(block / 4),
      WEIGHT_QUADS: bytes / 16,
      UNIFORM: Number(bytes <= this.device.limits.maxUniformBufferBindingSize),
      FUSE: Number(classes !== null),
      PROBABILITIES: Number(variant.probabilities),
      WIDTH: outChannels,
      CLASSES: classes ?? 0,
    };
    const end = [activationFile, ...(classes === null ? [] : [classifierFile]), convDispatchFile];
    const files = lanes ? ['enable subgroups;', storageFile, ...end, convLanesFile] : [storageFile, ...end, convFile];
    const constants = { WORKGROUP_X: workgroup.x, WORKGROUP_Y: workgroup.y, IN_CHANNELS: inChannels };
    return this.pipeline(`conv ${inChannels}→${block}${classes === null ? '' : `→${classes} labels`}`, files, defines, constants);
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

  /** Classifier on stored activations; `raw` applies the layer's norm and activation first. */
  classify(layer: Layer, variant: Variant, classes: number, raw: boolean): Pipeline {
    const defines = {
      F16: Number(variant.f16),
      ACTIVATION: raw ? layer.activation : 'none',
      NORM: Number(raw),
      PROBABILITIES: Number(variant.probabilities),
      LOGITS: Number(variant.logits),
      WIDTH: layer.outChannels,
      CLASSES: classes,
    };
    return this.pipeline('classify', [storageFile, activationFile, classifierFile, classifyFile], defines);
  }

  private pipeline(name: string, files: readonly string[], defines: Defines, constants: Record<string, number> = {}): Pipeline {
    const source = files.join('\n');
    const key = JSON.stringify([source, defines, constants]);
    let pipeline = this.pipelines.get(key);
    if (pipeline === undefined) {
      pipeline = this.compile(name, expand(source, defines), constants);
      pipeline.catch(() => undefined); // its awaiter gets the error; a cancelled run does not await it
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
