// The WebGL2 context: what it offers, shaders, textures, errors, and waiting for the device.
import type { Probe } from '../types';
import { expand } from '../expand';
import { messageOf } from '../message';
import { SOFTWARE_RENDERER } from '../renderers';
import activationSource from './activation.glsl?raw';
import { OutOfMemory } from '../run-loop';
import type { TextureLimits } from './planes';
import vertexSource from './plane.vert.glsl?raw';

export type Defines = Readonly<Record<string, number>>;

/** Figures by kind of renderer, measured on the software renderers and derived for hardware: docs/engine.md. */
const TUNABLES: Readonly<Record<'hardware' | 'llvmpipe' | 'swiftshader', Pick<TextureLimits, 'weightsAsTexels' | 'costs'>>> = {
  /** A texel of four floats takes a texture unit about as long as 16 multiply-adds take the arithmetic units; uniforms have a separate cache. */
  hardware: { weightsAsTexels: false, costs: { texel: 16, weight: 0.25 } },
  llvmpipe: { weightsAsTexels: false, costs: { texel: 5, weight: 2 } },
  /** Reads a texture faster than a uniform block, where it checks every lane for each of four values. */
  swiftshader: { weightsAsTexels: true, costs: { texel: 4, weight: 4 } },
};

export interface GlDevice extends TextureLimits {
  readonly gl: WebGL2RenderingContext;
  readonly renderer: string;
  readonly software: boolean;
  /** Compiled once, for all runs. */
  readonly shaders: Map<string, Shader>;
  readonly lost: () => boolean;
}

/** Throws an Error with the reason where WebGL2, or rendering to float textures, is missing. */
export function openContext(): GlDevice {
  if (typeof OffscreenCanvas === 'undefined') throw new Error('WebGL2: this browser offers no canvas outside the page (OffscreenCanvas)');
  const canvas = new OffscreenCanvas(1, 1);
  const gl = canvas.getContext('webgl2', { antialias: false, depth: false, powerPreference: 'high-performance' });
  if (gl === null) throw new Error('WebGL2: no context; the browser has blocked or lacks a suitable graphics driver');
  if (gl.getExtension('EXT_color_buffer_float') === null) {
    loseContext(gl);
    throw new Error('WebGL2: this device cannot render to float textures (EXT_color_buffer_float)');
  }
  let lost = false;
  canvas.addEventListener('webglcontextlost', () => {
    lost = true;
  });
  gl.disable(gl.DITHER); // on by default, and labels are not colours
  const names = gl.getExtension('WEBGL_debug_renderer_info');
  const renderer = String(gl.getParameter(names?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER));
  const limit = (name: GLenum) => Number(gl.getParameter(name));
  const software = SOFTWARE_RENDERER.test(renderer);
  return {
    ...TUNABLES[!software ? 'hardware' : renderer.includes('llvmpipe') ? 'llvmpipe' : 'swiftshader'],
    gl,
    renderer,
    software,
    drawBuffers: usableTargets(gl, Math.min(limit(gl.MAX_DRAW_BUFFERS), limit(gl.MAX_COLOR_ATTACHMENTS), 8)),
    uniformBlockBytes: limit(gl.MAX_UNIFORM_BLOCK_SIZE),
    maxLayers: limit(gl.MAX_ARRAY_TEXTURE_LAYERS),
    maxTextureSize: limit(gl.MAX_TEXTURE_SIZE),
    shaders: new Map(),
    lost: () => lost || gl.isContextLost(),
  };
}

/**
 * How many RGBA32F targets, up to `most`, can be drawn to at once. Tile-based devices limit the bits of a pixel over all
 * targets (256 or 512 on Apple's phones), announce eight targets nevertheless, and drop every draw to more than fit.
 */
function usableTargets(gl: WebGL2RenderingContext, most: number): number {
  const framebuffer = gl.createFramebuffer();
  gl.bindFramebuffer(gl.FRAMEBUFFER, framebuffer);
  const textures = Array.from({ length: most }, (_, k) => {
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32F, 1, 1);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + k, gl.TEXTURE_2D, texture, 0);
    return texture;
  });
  let count = most;
  while (count > 1 && gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE) {
    count--;
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0 + count, gl.TEXTURE_2D, null, 0);
  }
  for (const texture of textures) gl.deleteTexture(texture);
  gl.deleteFramebuffer(framebuffer);
  return count;
}

export function loseContext(gl: WebGL2RenderingContext): void {
  gl.getExtension('WEBGL_lose_context')?.loseContext();
}

export function probeContext(): Probe {
  try {
    const device = openContext();
    loseContext(device.gl);
    const { renderer, software, drawBuffers, uniformBlockBytes, maxLayers, maxTextureSize } = device;
    return { available: true, device: renderer, software, details: { drawBuffers, uniformBlockBytes, maxLayers, maxTextureSize } };
  } catch (error) {
    return { available: false, reason: messageOf(error) };
  }
}

/** A linked vertex and fragment shader. */
export interface Shader {
  readonly program: WebGLProgram;
  /** Location of a uniform; null where the compiler dropped it. */
  readonly at: (name: string) => WebGLUniformLocation | null;
}

/** The shader of these fragment files (joined in order, directives expanded) with the defines in front. Compiled once per device. */
export function shaderOf(device: GlDevice, label: string, parts: readonly string[], defines: Defines): Shader {
  const key = label + JSON.stringify(defines);
  const shader = device.shaders.get(key) ?? compile(device, label, parts.map((part) => expand(part, defines)), defines);
  device.shaders.set(key, shader);
  return shader;
}

function compile(device: GlDevice, label: string, parts: readonly string[], defines: Defines): Shader {
  const { gl } = device;
  const header = Object.entries(defines).map(([name, value]) => `#define ${name} ${value}\n`);
  const precision = ['float', 'int', 'sampler2DArray', 'sampler2D'].map((type) => `precision highp ${type};\n`);
  const fragment = ['#version 300 es\n', ...header, ...precision, activationSource, ...parts].join('');
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragment]] as const) {
    const shader = gl.createShader(type);
    if (shader === null) throw lostError();
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(program);
  if (gl.getProgramParameter(program, gl.LINK_STATUS) !== true) {
    if (device.lost()) throw lostError();
    const logs = (gl.getAttachedShaders(program) ?? []).map((shader) => gl.getShaderInfoLog(shader) ?? '');
    throw new Error(`WebGL2: ${label} did not compile: ${[gl.getProgramInfoLog(program) ?? '', ...logs].join(' ').trim().slice(0, 600)}`);
  }
  const locations = new Map<string, WebGLUniformLocation | null>();
  const at = (name: string) => {
    if (!locations.has(name)) locations.set(name, gl.getUniformLocation(program, name));
    return locations.get(name) ?? null;
  };
  return { program, at };
}

/** Layered texture storage. Throws OutOfMemory where the device has no room. */
export function createLayers(device: GlDevice, format: GLenum, bytesPerTexel: number, nx: number, ny: number, layers: number): WebGLTexture {
  const { gl } = device;
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
  gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, format, nx, ny, layers);
  for (const [name, value] of [
    [gl.TEXTURE_MIN_FILTER, gl.NEAREST],
    [gl.TEXTURE_MAG_FILTER, gl.NEAREST],
    [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE],
    [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE],
  ] as const) {
    gl.texParameteri(gl.TEXTURE_2D_ARRAY, name, value);
  }
  const error = gl.getError();
  if (error === gl.NO_ERROR) return texture;
  gl.deleteTexture(texture);
  if (device.lost()) throw lostError();
  const bytes = nx * ny * layers * bytesPerTexel;
  throw new OutOfMemory(`WebGL2: the device has no room for a texture of ${nx} × ${ny} × ${layers} (${bytes} bytes, error ${error})`);
}

/** A texture of float texels for constants: weights, the classifier. */
export function createTable(gl: WebGL2RenderingContext, data: Float32Array, width: number, height: number): WebGLTexture {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32F, width, height);
  gl.texSubImage2D(gl.TEXTURE_2D, 0, 0, 0, width, height, gl.RGBA, gl.FLOAT, data);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  return texture;
}

/** Throws where WebGL refused something since the last call: that is the only trace of a refused draw. */
export function checkErrors(device: GlDevice): void {
  if (device.lost()) throw lostError();
  const error = device.gl.getError();
  if (error === device.gl.OUT_OF_MEMORY) throw new OutOfMemory('WebGL2: the device ran out of memory in the computation');
  if (error !== device.gl.NO_ERROR) throw new Error(`WebGL2: the device refused a step of the computation (error ${error})`);
}

/** A wait aims at 150 ms; some drivers drop work silently, and its fence is never signalled. */
const PATIENCE_MS = 60_000;

/** Waits until everything drawn so far is done, without blocking the thread; rejects on abort or loss. */
export async function finish(device: GlDevice, signal: AbortSignal | undefined): Promise<void> {
  const { gl } = device;
  const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
  if (fence === null) throw lostError();
  gl.flush();
  let waited = 0;
  let last = performance.now();
  try {
    for (;;) {
      signal?.throwIfAborted();
      if (device.lost()) throw lostError();
      const now = performance.now();
      waited += Math.min(now - last, 1000); // a phone that sleeps is not a device that hangs
      last = now;
      if (waited > PATIENCE_MS) throw new Error('WebGL2: the graphics device stopped answering');
      const status = gl.clientWaitSync(fence, 0, 0);
      if (status === gl.ALREADY_SIGNALED || status === gl.CONDITION_SATISFIED) return;
      if (status === gl.WAIT_FAILED) throw lostError();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  } finally {
    gl.deleteSync(fence);
  }
}

function lostError(): Error {
  return new Error('WebGL2: the graphics device was lost');
}
