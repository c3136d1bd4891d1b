// Mouse, finger and stylus on the picture. A press with a tool goes to the tool; everything else goes to the viewer: other
// buttons, two fingers, and fingers once a stylus is in use (the palm of the hand lies on the screen).
import type { PicturePoint } from '../picture/drawing';
import type { Viewer } from '../picture/viewer';

export interface PointerHooks {
  /** Whether a press on the picture is for a tool. */
  readonly takes: () => boolean;
  /** A press. `isEraser`: with the eraser end of a stylus. */
  readonly begin: (point: PicturePoint, isEraser: boolean) => void;
  /** A move within the slice of the press. */
  readonly move: (point: PicturePoint) => void;
  readonly end: () => void;
  /** Discards everything drawn since the press. */
  readonly abandon: () => void;
  /** The pointer's place, for the outline of the brush; null away from the slices. */
  readonly hover: (place: { readonly point: PicturePoint; readonly x: number; readonly y: number } | null) => void;
}

/** Bit of `buttons` for the eraser end of a stylus. */
const ERASER = 32;

/** `box` holds the canvas, which the viewer may replace. Its listeners come before those of the canvas. */
export function connectPointer(box: HTMLElement, viewer: Viewer, hooks: PointerHooks): void {
  let pressed: { readonly id: number; readonly field: number } | null = null;
  let hasStylus = false;
  const placeOf = ({ clientX, clientY }: PointerEvent): { readonly x: number; readonly y: number } => {
    const { left, top } = box.getBoundingClientRect();
    return { x: clientX - left - box.clientLeft, y: clientY - top - box.clientTop };
  };
  const on = (type: 'pointerdown' | 'pointermove' | 'pointerup' | 'pointercancel', listener: (event: PointerEvent) => void): void => {
    box.addEventListener(type, listener, { capture: true });
  };

  on('pointerdown', (event) => {
    hasStylus ||= event.pointerType === 'pen';
    if (pressed !== null) {
      // A second finger: it was meant for the viewer.
      pressed = null;
      hooks.abandon();
      return;
    }
    const isEraser = (event.buttons & ERASER) !== 0;
    const isFree = event.shiftKey || event.ctrlKey || (event.button !== 0 && !isEraser) || (hasStylus && event.pointerType === 'touch');
    if (isFree || !hooks.takes()) return;
    const { x, y } = placeOf(event);
    const point = viewer.pointAt(x, y);
    if (point === null) return;
    event.preventDefault(); // no mouse events follow
    event.stopPropagation();
    box.querySelector('canvas')?.focus({ preventScroll: true });
    box.setPointerCapture(event.pointerId);
    pressed = { id: event.pointerId, field: point.field };
    hooks.begin(point, isEraser);
  });

  on('pointermove', (event) => {
    const { x, y } = placeOf(event);
    const point = viewer.pointAt(x, y);
    hooks.hover(point === null || !hooks.takes() || event.pointerType === 'touch' ? null : { point, x, y });
    if (pressed?.id !== event.pointerId) return;
    event.stopPropagation();
    if (point?.field === pressed.field) hooks.move(point);
  });

  for (const type of ['pointerup', 'pointercancel'] as const) {
    on(type, (event) => {
      if (pressed?.id !== event.pointerId) return;
      event.stopPropagation();
      pressed = null;
      if (type === 'pointerup') hooks.end();
      else hooks.abandon();
    });
  }
  box.addEventListener('pointerleave', () => { hooks.hover(null); });

  // NiiVue listens to touches too.
  for (const type of ['touchstart', 'touchmove', 'touchend'] as const) {
    box.addEventListener(
      type,
      (event) => {
        if (pressed === null) return;
        event.stopPropagation();
        if (event.cancelable) event.preventDefault(); // no scrolling, and no mouse events that follow a tap
      },
      { capture: true, passive: false },
    );
  }
}
