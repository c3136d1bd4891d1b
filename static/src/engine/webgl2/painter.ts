// Drawing with cached programs and framebuffers, paced so that a run can be cancelled and a driver stays calm.
import type { Layer } from '../types';
import { compile, type Defines, finish, type GlDevice, type Program } from './device';
import { packWeights, type Pass } from './layout';

/** Work between two waits aims at this long: well below what makes a driver reset, or a cancel late. */
const TARGET_MS = 150;
/** Texture units: 0…2 are chunks, 3 is the classifier. */
const CLASSIFIER_UNIT = 3;

interface WeightBlocks {
  readonly buffer: WebGLBuffer;
  readonly blockBytes: number;
  readonly strideBytes: number;
}

export class Painter {
  private readonly gl: WebGL2RenderingContext;
  private readonly programs = new Map<string, Program>();
  private readonly framebuffers = new Map<number, WebGLFramebuffer>();
  private readonly weights = new Map<string, WeightBlocks>();
  private budget = 2e8; // multiply-adds between two waits; adapts
  private pending = 0;

  constructor(
    private readonly device: GlDevice,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.gl = device.gl;
  }

  /** The program of these files and defines, compiled once, and in use. */
  use(label: string, parts: readonly string[], defines: Defines): Program {
    const key = label + JSON.stringify(defines);
    let program = this.programs.get(key);
    if (program === undefined) {
      program = compile(this.device, label, parts, defines);
      this.programs.set(key, program);
    }
    this.gl.useProgram(program.handle);
    return program;
  }

  bindLayers(program: Program, name: string, unit: number, texture: WebGLTexture): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
    gl.uniform1i(program.at(name), unit);
  }

  bindClassifier(program: Program, texture: WebGLTexture): void {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + CLASSIFIER_UNIT);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniform1i(program.at('classifierWeights'), CLASSIFIER_UNIT);
  }

  /** The pass's weights as uniform blocks Weights0…8, uploaded once. */
  bindWeights(program: Program, layer: Layer, pass: Pass): void {
    const { gl } = this;
    const key = `${layer.name}/${pass.firstGroup}`;
    let blocks = this.weights.get(key);
    if (blocks === undefined) {
      const { data, blockBytes, strideBytes } = packWeights(layer, pass, this.device.uniformAlignBytes);
      const buffer = gl.createBuffer();
      gl.bindBuffer(gl.UNIFORM_BUFFER, buffer);
      gl.bufferData(gl.UNIFORM_BUFFER, data, gl.STATIC_DRAW);
      blocks = { buffer, blockBytes, strideBytes };
      this.weights.set(key, blocks);
    }
    for (let row = 0; row < 9; row++) {
      gl.uniformBlockBinding(program.handle, gl.getUniformBlockIndex(program.handle, `Weights${row}`), row);
      gl.bindBufferRange(gl.UNIFORM_BUFFER, row, blocks.buffer, row * blocks.strideBytes, blocks.blockBytes);
    }
  }

  get weightBytes(): number {
    return [...this.weights.values()].reduce((sum, { strideBytes }) => sum + 9 * strideBytes, 0);
  }

  /** Makes these layers of `texture` the render targets, in order, and the first the one to read. */
  attach(texture: WebGLTexture, layers: readonly number[]): void {
    const { gl } = this;
    let framebuffer = this.framebuffers.get(layers.length);
    if (framebuffer === undefined) {
      framebuffer = gl.createFramebuffer();
      this.framebuffers.set(layers.length, framebuffer);
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
    for (const [k, layer] of layers.entries()) gl.framebufferTextureLayer(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + k, texture, 0, layer);
    gl.drawBuffers(layers.map((_, k) => gl.COLOR_ATTACHMENT0 + k));
    gl.readBuffer(gl.COLOR_ATTACHMENT0);
  }

  draw(texture: WebGLTexture, layers: readonly number[], width: number, height: number): void {
    this.attach(texture, layers);
    this.gl.viewport(0, 0, width, height);
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

  /** Accounts for multiply-adds just drawn; waits when enough is under way, and adapts how much that is. */
  async spend(macs: number): Promise<void> {
    this.pending += macs;
    if (this.pending < this.budget) return;
    const start = performance.now();
    await this.wait();
    const elapsed = performance.now() - start;
    this.budget *= elapsed > TARGET_MS ? 0.5 : elapsed < TARGET_MS / 4 ? 2 : 1;
  }

  /** Until everything drawn is done; rejects on abort or device loss. */
  async wait(): Promise<void> {
    this.pending = 0;
    await finish(this.device, this.signal);
  }

  free(): void {
    const { gl } = this;
    for (const framebuffer of this.framebuffers.values()) gl.deleteFramebuffer(framebuffer);
    for (const { handle } of this.programs.values()) gl.deleteProgram(handle);
    for (const { buffer } of this.weights.values()) gl.deleteBuffer(buffer);
  }
}
