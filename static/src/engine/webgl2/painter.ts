// Draws, with one framebuffer per number of targets; waits often enough that a run can be cancelled and no driver resets the device.
import type { Layer } from '../types';
import type { Usage } from '../meter';
import { checkErrors, createTable, type Defines, finish, type GlDevice, type Shader, shaderOf } from './device';
import { packWeights, type RegisterBlock } from './layout';

/** Time between two waits: well below what makes a driver reset the device, or a cancel late. */
const TARGET_MS = 150;
/** Texture units of the two tables; windows take 0 … 9, and every device has 16. */
const CLASSIFIER_UNIT = 14;
const WEIGHTS_UNIT = 15;

/** One layer of a texture, to draw to. */
export interface Target {
  readonly texture: WebGLTexture;
  readonly layer: number;
}

interface Weights {
  readonly buffers: readonly WebGLBuffer[];
  readonly table: WebGLTexture | null;
}

export class Painter {
  private readonly gl: WebGL2RenderingContext;
  private readonly framebuffers = new Map<number, WebGLFramebuffer>();
  private readonly weights = new Map<string, Weights>();
  private budget = 2e8; // multiply-adds between two waits; adapts
  private pending = 0;

  constructor(
    private readonly device: GlDevice,
    private readonly signal: AbortSignal | undefined,
    private readonly usage: Usage,
  ) {
    this.gl = device.gl;
  }

  /** The shader of these files and defines, in use. */
  use(label: string, parts: readonly string[], defines: Defines): Shader {
    const shader = shaderOf(this.device, label, parts, defines);
    this.gl.useProgram(shader.program);
    return shader;
  }

  bindLayers(shader: Shader, name: string, unit: number, texture: WebGLTexture): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
    gl.uniform1i(shader.at(name), unit);
  }

  bindClassifier(shader: Shader, texture: WebGLTexture): void {
    this.bindTable(shader, 'classifierWeights', CLASSIFIER_UNIT, texture);
  }

  /** The block's weights, uploaded once: as a texture, or as the uniform blocks Weights_0, Weights_1, … of its groups. */
  bindWeights(shader: Shader, layer: Layer, block: RegisterBlock, asTexels: boolean): void {
    const { gl } = this;
    const key = `${layer.name}/${block.firstGroup}`;
    const weights = this.weights.get(key) ?? this.uploadWeights(packWeights(layer, block), asTexels);
    this.weights.set(key, weights);
    if (weights.table !== null) this.bindTable(shader, 'weights', WEIGHTS_UNIT, weights.table);
    for (const [g, buffer] of weights.buffers.entries()) {
      gl.uniformBlockBinding(shader.program, gl.getUniformBlockIndex(shader.program, `Weights_${g}`), g);
      gl.bindBufferBase(gl.UNIFORM_BUFFER, g, buffer);
    }
  }

  /** Makes these layers the render targets, in order, and the first the one to read. */
  attach(targets: readonly Target[]): void {
    const { gl } = this;
    const known = this.framebuffers.get(targets.length);
    const framebuffer = known ?? gl.createFramebuffer();
    this.framebuffers.set(targets.length, framebuffer);
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    for (const [k, { texture, layer }] of targets.entries()) gl.framebufferTextureLayer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + k, texture, 0, layer);
    gl.drawBuffers(targets.map((_, k) => gl.COLOR_ATTACHMENT0 + k));
    gl.readBuffer(gl.COLOR_ATTACHMENT0);
    if (known === undefined) this.checkComplete(targets.length);
  }

  private checkComplete(targets: number): void {
    const { gl } = this;
    const status = gl.checkFramebufferStatus(gl.FRAMEBUFFER);
    if (status === gl.FRAMEBUFFER_COMPLETE) return;
    checkErrors(this.device);
    throw new Error(`WebGL2: the device cannot draw to ${targets} textures at once (status ${status})`);
  }

  /** One triangle over width × height fragments, from row `top` on. */
  draw(targets: readonly Target[], width: number, height: number, top = 0): void {
    this.attach(targets);
    this.gl.viewport(0, top, width, height);
    this.gl.drawArrays(this.gl.TRIANGLES, 0, 3);
  }

  /** Texels of render target `target` of the last `draw` or `attach`, as float32. */
  readFloats(target: number, width: number, height: number): Float32Array {
    const { gl } = this;
    gl.readBuffer(gl.COLOR_ATTACHMENT0 + target);
    const texels = new Float32Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.FLOAT, texels);
    return texels;
  }

  /** Counts multiply-adds just drawn; waits when the budget is used up, and adapts the budget. */
  async spend(macs: number): Promise<void> {
    this.pending += macs;
    if (this.pending < this.budget) return;
    const start = performance.now();
    await this.wait();
    const elapsed = performance.now() - start;
    this.budget *= elapsed > TARGET_MS ? 0.5 : elapsed < TARGET_MS / 4 ? 2 : 1;
  }

  /** Resolves when everything drawn is done; rejects on abort or device loss. */
  async wait(): Promise<void> {
    this.pending = 0;
    await finish(this.device, this.signal);
    checkErrors(this.device); // for example, some drivers allocate only at the first draw
  }

  /** Frees everything but the shaders, which the device keeps. */
  free(): void {
    const { gl } = this;
    for (const framebuffer of this.framebuffers.values()) gl.deleteFramebuffer(framebuffer);
    for (const { buffers, table } of this.weights.values()) {
      for (const buffer of buffers) gl.deleteBuffer(buffer);
      gl.deleteTexture(table);
    }
  }

  private uploadWeights(groups: readonly Float32Array[], asTexels: boolean): Weights {
    const { gl } = this;
    const bytes = groups.reduce((sum, { byteLength }) => sum + byteLength, 0);
    this.usage.takeConstants(bytes);
    if (asTexels) {
      const rows = new Float32Array(bytes / 4);
      for (const [g, group] of groups.entries()) rows.set(group, g * group.length);
      gl.activeTexture(gl.TEXTURE0 + WEIGHTS_UNIT);
      return { buffers: [], table: createTable(gl, rows, groups[0]!.length / 36, 9 * groups.length) };
    }
    const buffers = groups.map((group) => {
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.UNIFORM_BUFFER, buffer);
      gl.bufferData(gl.UNIFORM_BUFFER, group, gl.STATIC_DRAW);
      return buffer;
    });
    return { buffers, table: null };
  }

  private bindTable(shader: Shader, name: string, unit: number, texture: WebGLTexture): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniform1i(shader.at(name), unit);
  }
}
