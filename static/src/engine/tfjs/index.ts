// TF.js backend: the fallback that runs in most browsers, and a peer to check against. TensorFlow.js itself (1 MB) is
// fetched by `open` only, and not kept for use without a network; probing looks at WebGL2 with nothing but a canvas.
import { SOFTWARE_RENDERER } from '../renderers';
import type { BackendModule, Probe } from '../types';

function probe(): Promise<Probe> {
  const gl = typeof OffscreenCanvas === 'undefined' ? null : new OffscreenCanvas(1, 1).getContext('webgl2');
  if (gl?.getExtension('EXT_color_buffer_float') == null) {
    const why = gl === null ? 'no WebGL2' : 'WebGL2 without float textures';
    return Promise.resolve({ available: true, device: `JavaScript (${why})`, software: true, details: { runs: 'cpu' } });
  }
  const info = gl.getExtension('WEBGL_debug_renderer_info');
  const renderer = String(gl.getParameter(info === null ? gl.RENDERER : info.UNMASKED_RENDERER_WEBGL));
  const maxTextureSize = Number(gl.getParameter(gl.MAX_TEXTURE_SIZE));
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return Promise.resolve({
    available: true,
    device: `WebGL2 ${renderer}`,
    software: SOFTWARE_RENDERER.test(renderer),
    details: { runs: 'webgl', maxTextureSize },
  });
}

export const tfjs: BackendModule = {
  id: 'tfjs',
  probe,
  async open() {
    const found = await probe();
    const { openTfjs } = await import('./run').catch((): never => {
      throw new Error('it could not be loaded. It is not kept for use without a network: connect to the server, then reload the page');
    });
    return openTfjs(found.available && found.details.runs === 'webgl' ? 'webgl' : 'cpu');
  },
};
