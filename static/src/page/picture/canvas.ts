// NiiVue on a canvas of the page.
import { DRAG_MODE, MULTIPLANAR_TYPE, Niivue } from '@niivue/niivue';
import { SOFTWARE_RENDERER } from '../../engine/renderers';

/** A NiiVue that leaves dropping to the page, and the keyboard to `pressKey` (true: this key was taken). Rejects where the browser has no WebGL2. */
export async function attach(canvas: HTMLCanvasElement, pressKey: (key: string) => boolean): Promise<Niivue> {
  const nv = new Niivue({
    dragAndDropEnabled: false,
    logLevel: 'error',
    loadingText: '',
    backColor: [0.04, 0.05, 0.07, 1],
    crosshairColor: [0.35, 0.75, 1, 0.8],
    crosshairWidth: 1,
    crosshairWidthUnit: 'mm',
    multiplanarLayout: MULTIPLANAR_TYPE.AUTO,
    multiplanarPadPixels: 4,
    dragMode: DRAG_MODE.contrast,
    isColorbar: false,
    show3Dcrosshair: true,
    isNearestInterpolation: false,
    showAllOrientationMarkers: true,
    fontColor: [0.95, 0.97, 1, 1],
    scrollRequiresFocus: false,
  });
  // First of the canvas's listeners: NiiVue's letters would change view and clipping behind the page's own buttons.
  for (const type of ['keydown', 'keyup'] as const) {
    canvas.addEventListener(type, (event) => {
      event.stopImmediatePropagation();
      if (type === 'keydown' && !event.ctrlKey && !event.altKey && !event.metaKey && pressKey(event.key)) event.preventDefault();
    });
  }
  await nv.attachToCanvas(canvas);
  return nv;
}

/** Whether the canvas is drawn by the CPU. */
export function isSoftware(gl: WebGL2RenderingContext): boolean {
  const info = gl.getExtension('WEBGL_debug_renderer_info');
  return info !== null && SOFTWARE_RENDERER.test(String(gl.getParameter(info.UNMASKED_RENDERER_WEBGL)));
}
