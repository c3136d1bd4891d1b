// The results of the shown scan, of which one is in the picture.
import { resultName, mainVolumeMl } from '../studies';
import type { Study } from '../studies';
import { BACKEND_NAMES } from '../../engine/choose';
import { read, t } from '../texts/language';
import { byTestId, element } from './dom';
import { formatDuration, formatMl } from './format';

export interface LayerActions {
  readonly showLayer: (resultId: number) => void;
  readonly removeLayer: (resultId: number) => void;
}

/** A radio button for each result, its volume, and a button that removes it; hidden where there is one result. */
export function showLayers(study: Study | null, actions: LayerActions): void {
  const box = byTestId('layers', HTMLFieldSetElement);
  const results = study?.results ?? [];
  box.hidden = results.length < 2;
  const focused = document.activeElement instanceof HTMLInputElement && box.contains(document.activeElement) ? document.activeElement.value : null;
  const rows = results.map((result) => {
    const row = element('div', '', 'layer');
    const label = element('label');
    label.title = `${BACKEND_NAMES[result.report.backend]}, ${formatDuration(result.report.milliseconds / 1000)}`;
    const radio = element('input');
    radio.type = 'radio';
    radio.name = 'layer';
    radio.value = String(result.id);
    radio.checked = result.id === study!.shownResultId;
    radio.addEventListener('change', () => { actions.showLayer(result.id); });
    label.append(radio, element('span', read(resultName(study!, result))));
    const remove = element('button', '×', 'remove');
    remove.type = 'button';
    remove.ariaLabel = t('results.remove', { name: resultName(study!, result) });
    remove.title = t('results.removeTitle');
    remove.addEventListener('click', () => { actions.removeLayer(result.id); });
    row.append(label, element('span', formatMl(mainVolumeMl(result)), 'soft'), remove);
    return row;
  });
  box.replaceChildren(element('legend', t('results.inPicture')), ...rows);
  if (focused !== null) box.querySelector<HTMLInputElement>(`input[value="${focused}"]`)?.focus();
}
