// The textures of one run: a layered texture per slot of the plan's pools, and the few beside them.
import type { Plan, PlaneRef } from '../plan';
import type { Dims, Graph } from '../types';
import { createLayers, type GlDevice } from './device';
import { groupsOf, packClassifier } from './layout';

export interface Memory {
  /** layer = plane · groups + group; four channels a texel (one in the input of a one-channel network). */
  readonly slots: Readonly<Record<PlaneRef['pool'], WebGLTexture[]>>;
  readonly classifier: WebGLTexture;
  /** Only for networks with norm: a chunk to write to while reading its twin (then they swap), and row statistics. */
  spare: WebGLTexture | null;
  readonly rows: WebGLTexture | null;
  readonly bytes: number;
  readonly largestBytes: number;
}

/** Throws OutOfMemory, naming the bytes, where the device has no room; frees what it had by then. */
export function allocate(device: GlDevice, plan: Plan, graph: Graph, dims: Dims, bytesPerValue: 4 | 2): Memory {
  const { gl } = device;
  const [nx, ny] = dims;
  const P = plan.planesPerChunk;
  const blocks = graph.layers.slice(0, -1);
  const made: WebGLTexture[] = [];
  const sizes: number[] = [];
  const make = (format: GLenum, texelBytes: number, layers: number, width = nx, height = ny): WebGLTexture => {
    const texture = createLayers(device, format, texelBytes, width, height, layers);
    made.push(texture);
    sizes.push(width * height * layers * texelBytes);
    return texture;
  };
  const many = (count: number, format: GLenum, texelBytes: number, layers: number) =>
    Array.from({ length: count }, () => make(format, texelBytes, layers));
  try {
    const [format, texel] = bytesPerValue === 4 ? [gl.RGBA32F, 16] : [gl.RGBA16F, 8];
    const [inputFormat, inputTexel] = graph.inChannels === 1 ? [gl.R32F, 4] : [gl.RGBA32F, 16];
    const layers = P * groupsOf(Math.max(...blocks.map((block) => block.outChannels)));
    const hasNorm = blocks.some((block) => block.norm !== null);
    const slots = {
      input: many(plan.pools.input.slots, inputFormat, inputTexel, P * groupsOf(graph.inChannels)),
      activation: many(plan.pools.activation.slots, format, texel, layers),
      labels: many(plan.pools.labels.slots, gl.RGBA8, 4, P),
    };
    const spare = hasNorm ? make(format, texel, layers) : null;
    const rows = hasNorm ? make(gl.RGBA32F, 16, 2, ny, layers) : null;
    const classifier = classifierTexture(gl, graph);
    return { slots, classifier, spare, rows, bytes: sizes.reduce((a, b) => a + b, 0), largestBytes: Math.max(...sizes) };
  } catch (error) {
    for (const texture of made) gl.deleteTexture(texture);
    throw error;
  }
}

export function release(gl: WebGL2RenderingContext, memory: Memory): void {
  const { slots, classifier, spare, rows } = memory;
  for (const texture of [...slots.input, ...slots.activation, ...slots.labels, classifier, spare, rows]) gl.deleteTexture(texture);
}

function classifierTexture(gl: WebGL2RenderingContext, graph: Graph): WebGLTexture {
  const { data, width, height } = packClassifier(graph.layers.at(-1)!);
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32F, width, height);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RGBA, gl.FLOAT, data);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  return texture;
}
