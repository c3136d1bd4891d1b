// Buttons for the view, the opacity slider, and the line with the crosshair's position.
import type { Location, View, Viewer } from '../picture/viewer';
import { formatNumber, t } from '../texts/language';
import { byId, element } from './dom';

/** Connects the controls of the view with the viewer. They are disabled until then. */
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
  for (const control of [...buttons, radiological, opacity]) control.disabled = false;
}

export function connectReadout(viewer: Viewer): void {
  const line = byId('readout', HTMLParagraphElement);
  viewer.onLocation = (location) => {
    line.replaceChildren(...readout(location));
  };
}

function readout({ positionMm, voxel, intensity, label }: Location): (Node | string)[] {
  const [x, y, z] = positionMm.map((mm) => formatNumber(mm, { minimumFractionDigits: 1, maximumFractionDigits: 1 })) as [string, string, string];
  const text = t('viewer.readout', { x, y, z, voxel: voxel.join(', '), intensity: formatNumber(intensity, { maximumSignificantDigits: 4, useGrouping: false }) });
  return label === null || label.index === 0 ? [text] : [`${text} · `, element('b', label.name)];
}
