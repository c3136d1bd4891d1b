// The WebGL2 context and the few things we do with it: programs, layered textures, drawing, waiting.
import type { Probe } from '../types';
import activationSource from './activation.glsl?raw';
import vertexSource from './plane.vert.glsl?raw';

export type Defines = Readonly<Record<string, number>>;

export interface GlDevice {
  readonly gl: WebGL2RenderingContext;
  readonly renderer: string;
  readonly software: boolean;
  readonly drawBuffers: number;
  readonly uniformBlockBytes: number;
  readonly uniformAlignBytes: number;
  readonly maxLayers: number;
  readonly maxTextureSize: number;
  readonly lost: () => boolean;
}

/** Throws an Error with the reason where WebGL2 or rendering to float textures is missing. */
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
  const names = gl.getExtension('WEBGL_debug_renderer_info');
  const renderer = String(gl.getParameter(names?.UNMASKED_RENDERER_WEBGL ?? gl.RENDERER));
  const limit = (name: GLenum) => Number(gl.getParameter(name));
  return {
    gl,
    renderer,
    software: /swiftshader|llvmpipe|softpipe|software|basic render/i.test(renderer),
    drawBuffers: Math.min(limit(gl.MAX_DRAW_BUFFERS), limit(gl.MAX_COLOR_ATTACHMENTS), 8),
    uniformBlockBytes: limit(gl.MAX_UNIFORM_BLOCK_SIZE),
    uniformAlignBytes: limit(gl.UNIFORM_BUFFER_OFFSET_ALIGNMENT),
    maxLayers: limit(gl.MAX_ARRAY_TEXTURE_LAYERS),
    maxTextureSize: limit(gl.MAX_TEXTURE_SIZE),
    lost: () => lost || gl.isContextLost(),
  };
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
    return { available: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

export interface Program {
  readonly handle: WebGLProgram;
  readonly at: (name: string) => WebGLUniformLocation | null;
}

/** Compiles whole fragment files (joined in order) with the given defines in front. */
export function compile(device: GlDevice, label: string, parts: readonly string[], defines: Defines): Program {
  const { gl } = device;
  const header = Object.entries(defines).map(([name, value]) => `#define ${name} ${value}\n`);
  const precision = ['float', 'int', 'sampler2DArray', 'sampler2D'].map((type) => `precision highp ${type};\n`);
  const fragment = ['#version 300 es\n', ...header, ...precision, activationSource, ...parts].join('');
  const handle = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, vertexSource], [gl.FRAGMENT_SHADER, fragment]] as const) {
    const shader = gl.createShader(type);
    if (shader === null) throw new Error('WebGL2: the context was lost while compiling; run again');
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(handle, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(handle);
  if (gl.getProgramParameter(handle, gl.LINK_STATUS) !== true) {
    const logs = (gl.getAttachedShaders(handle) ?? []).map((shader) => gl.getShaderInfoLog(shader) ?? '');
    throw new Error(`WebGL2: ${label} did not compile: ${[gl.getProgramInfoLog(handle) ?? '', ...logs].join(' ').trim().slice(0, 600)}`);
  }
  const locations = new Map<string, WebGLUniformLocation | null>();
  const at = (name: string) => {
    if (!locations.has(name)) locations.set(name, gl.getUniformLocation(handle, name));
    return locations.get(name) ?? null;
  };
  return { handle, at };
}

/** Layered texture storage; throws an Error naming the bytes where the device has no room. */
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
  const bytes = nx * ny * layers * bytesPerTexel;
  throw new OutOfMemory(`WebGL2: the device has no room for a texture of ${nx} × ${ny} × ${layers} (${bytes} bytes, error ${error})`);
}

/** The device cannot hold the plan's textures; a narrower format may still fit. */
export class OutOfMemory extends Error {}

/** Waits until everything drawn so far is done, without blocking the thread; rejects on abort or loss. */
export async function finish(device: GlDevice, signal: AbortSignal | undefined): Promise<void> {
  const { gl } = device;
  const fence = gl.fenceSync(gl.SYNC_GPU_COMMANDS_COMPLETE, 0);
  if (fence === null) throw lostError();
  gl.flush();
  try {
    for (;;) {
      signal?.throwIfAborted();
      if (device.lost()) throw lostError();
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
  return new Error('WebGL2: the graphics device was lost; run again, or choose the CPU');
}
