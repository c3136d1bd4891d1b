// Buttons for the view, the opacity slider, and the line with the crosshair's position.
import type { Location, View, Viewer } from '../picture/viewer';
import { byId, element } from './dom';

export function connectViews(viewer: Viewer): void {
  const buttons = Array.from(document.querySelectorAll<HTMLButtonElement>('button[data-view]'));
  const mark = (view: View): void => {
    for (const button of buttons) button.setAttribute('aria-pressed', String(button.dataset.view === view));
  };
  for (const button of buttons) {
    const view = button.dataset.view as View;
    button.addEventListener('click', () => {
      viewer.setView(view);
      mark(view);
    });
  }
  mark(viewer.firstView);
  const radiological = byId('radiological', HTMLInputElement);
  radiological.addEventListener('change', () => {
    viewer.setRadiological(radiological.checked);
  });
  const opacity = byId('opacity', HTMLInputElement);
  opacity.addEventListener('input', () => {
    viewer.setOpacity(opacity.valueAsNumber / 100);
  });
}

export function connectReadout(viewer: Viewer): void {
  const line = byId('readout', HTMLParagraphElement);
  viewer.onLocation = (location) => {
    line.replaceChildren(...readout(location));
  };
}

function readout({ positionMm, voxel, intensity, label }: Location): (Node | string)[] {
  const place = `x ${positionMm[0].toFixed(1)}  y ${positionMm[1].toFixed(1)}  z ${positionMm[2].toFixed(1)} mm`;
  const value = Number(intensity.toPrecision(4));
  const text = `${place} · voxel ${voxel.join(', ')} · intensity ${value}`;
  return label === null || label.index === 0 ? [text] : [`${text} · `, element('b', label.name)];
}
