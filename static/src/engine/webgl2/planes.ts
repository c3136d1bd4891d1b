// How a volume lies in WebGL2 textures: every z-plane is a separate texture with four channels per texel. Pure.
import { convolutionsOf } from '../graph';
import { makePlan, type Plan } from '../plan';
import type { Graph } from '../types';
import { residueClasses } from '../walks';
import type { Dims } from '../../volume/volume';
import { groupsOf, tilingOf, type Limits } from './layout';

/** Labels are read back when this many planes are done: reading waits for the device. */
const MAX_LABEL_PLANES = 64;

/** In a texel of the labels' texture, beside the label in red. */
export const PROBABILITIES_PER_TEXEL = 3;

export interface TextureLimits extends Limits {
  readonly maxTextureSize: number;
  readonly maxLayers: number;
}

export interface PlaneOptions {
  readonly bytesPerValue: 4 | 2;
  readonly maxTextureBytes: number;
  readonly inspect: boolean;
  /** Whether probabilities are read back with the labels. */
  readonly probabilities: boolean;
}

/** Throws an Error with the numbers where one plane exceeds the device's textures. */
export function planTextures(device: TextureLimits, graph: Graph, dims: Dims, { bytesPerValue, maxTextureBytes, inspect, probabilities }: PlaneOptions): Plan {
  const layers = convolutionsOf(graph);
  const [nx, ny, nz] = dims;
  checkPlanes(device, graph, dims, bytesPerValue, maxTextureBytes);
  const layersPerPlane = labelLayers(graph, probabilities);
  const mostPlanes = Math.min(MAX_LABEL_PLANES, Math.floor(device.maxLayers / layersPerPlane));
  const labelPlanes = planesWithin(mostPlanes, nz, nx * ny * 4 * layersPerPlane, maxTextureBytes);
  return makePlan(graph, dims, {
    planesPerChunk: 1,
    labelPlanes,
    bytesPerSlot: {
      // the input stays float32; of one channel it takes one value per texel
      input: nx * ny * groupsOf(graph.inChannels) * (graph.inChannels === 1 ? 4 : 16),
      activation: nx * ny * activationGroups(graph) * 4 * bytesPerValue,
      labels: nx * ny * 4 * layersPerPlane * labelPlanes,
    },
    walk: residueClasses((layer) => tilingOf(layers[layer]!, nz, device).planes),
    fusedEnd: false,
    inspect,
  });
}

/** Layers of the labels' texture per plane: one, or with probabilities as many as hold those of all classes but class 0. */
export function labelLayers({ classes }: Graph, probabilities: boolean): number {
  return probabilities ? Math.ceil((classes - 1) / PROBABILITIES_PER_TEXEL) : 1;
}

/** Groups of four channels of the widest activation. */
export function activationGroups(graph: Graph): number {
  return groupsOf(Math.max(...convolutionsOf(graph).map((layer) => layer.outChannels)));
}

/** How many planes one texture holds: at least one, at most `most` and the volume's, within `maxTextureBytes`. */
export function planesWithin(most: number, nz: number, bytesPerPlane: number, maxTextureBytes: number): number {
  return Math.max(1, Math.min(nz, most, Math.floor(maxTextureBytes / bytesPerPlane)));
}

function checkPlanes({ maxTextureSize, maxLayers }: TextureLimits, graph: Graph, dims: Dims, bytesPerValue: 4 | 2, maxTextureBytes: number): void {
  const [nx, ny] = dims;
  if (Math.max(nx, ny) > maxTextureSize) {
    throw new Error(`WebGL2: the volume is ${dims.join(' × ')}, this device's textures reach ${maxTextureSize}`);
  }
  const channels = Math.max(...convolutionsOf(graph).map((layer) => Math.max(layer.inChannels, layer.outChannels)));
  if (groupsOf(channels) > maxLayers) {
    throw new Error(`WebGL2: the model has ${channels} channels, this device's textures hold ${maxLayers * 4}`);
  }
  const planeBytes = nx * ny * groupsOf(channels) * 4 * bytesPerValue;
  if (planeBytes > maxTextureBytes) {
    throw new Error(
      `volume ${dims.join(' × ')}: one z-plane of ${channels} channels takes ${planeBytes} bytes, ` +
        `this device allows ${maxTextureBytes} per texture`,
    );
  }
}
