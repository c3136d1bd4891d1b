// The panel "Edit": its tools while a result is being edited, with their keys.
import type { Viewer } from '../picture/viewer';
import { isEdited } from '../edit/history';
import { commandOf, SHORTCUTS } from '../edit/keys';
import type { Command } from '../edit/keys';
import type { PointerHooks } from '../edit/pointer';
import { sizeMm } from '../edit/settings';
import type { Editing, EditSettings } from '../edit/settings';
import type { Result } from '../studies';
import { formatNumber, read, t } from '../texts/language';
import { say } from '../texts/message';
import { byId, byTestId, element } from './dom';

export interface EditActions {
  readonly run: (command: Command) => void;
  readonly size: (mm: number) => void;
  readonly tolerance: (percent: number) => void;
  readonly label: (index: number) => void;
}

/** Connects buttons, sliders and keys, and writes each key on its button. `isOpen`: whether the tools are. */
export function connectEditPanel(actions: EditActions, isOpen: () => boolean): void {
  for (const button of buttons()) {
    const command = button.dataset.edit as Command;
    const shortcut = SHORTCUTS.find((one) => one.command === command);
    if (shortcut !== undefined) {
      button.append(element('kbd', shortcut.shown));
      button.setAttribute('aria-keyshortcuts', shortcut.shown === 'Esc' ? 'Escape' : shortcut.shown);
      button.querySelector('kbd')!.ariaHidden = 'true'; // a screen reader has it from aria-keyshortcuts
    }
    button.addEventListener('click', () => { actions.run(command); });
  }
  const [size, tolerance, label] = [byId('edit-size', HTMLInputElement), byId('edit-tolerance', HTMLInputElement), byId('edit-label', HTMLSelectElement)];
  size.addEventListener('input', () => { actions.size(size.valueAsNumber); });
  tolerance.addEventListener('input', () => { actions.tolerance(tolerance.valueAsNumber); });
  label.addEventListener('change', () => { actions.label(Number(label.value)); });
  // Before the picture's own keys.
  document.addEventListener('keydown', (event) => {
    const target = event.target instanceof Element ? event.target : null;
    const isOnPicture = target instanceof HTMLCanvasElement;
    if (!isOpen() || (!isOnPicture && target?.closest('.edit') == null)) return;
    if (target instanceof HTMLSelectElement && event.key.length === 1) return; // letters pick an entry of the list
    const command = commandOf(event, isOnPicture);
    if (command === null) return;
    event.preventDefault();
    event.stopPropagation();
    actions.run(command);
  }, { capture: true });
}

/** The tools where the shown result is being edited, else the button that opens them. */
export function showEdit(result: Result | null, editing: Editing | null, settings: EditSettings): void {
  byTestId('start-edit', HTMLButtonElement).hidden = editing !== null;
  byTestId('revert-edits', HTMLButtonElement).hidden = result === null || !isEdited(result);
  const tools = byTestId('edit-tools', HTMLDivElement);
  const wasHidden = tools.hidden;
  tools.hidden = editing === null;
  byId('brush', HTMLDivElement).hidden = true;
  if (result === null || editing === null) {
    if (!wasHidden && document.activeElement === document.body) byTestId('start-edit', HTMLButtonElement).focus({ preventScroll: true });
    return;
  }
  showLabelChoice(result, editing.label);
  const { tool, isDisc, tolerancePercent } = settings;
  const { done, undone } = result.edit ?? { done: [], undone: [] };
  for (const button of buttons()) {
    const command = button.dataset.edit!;
    if (button.ariaPressed !== null) button.ariaPressed = String(command === 'disc' ? isDisc : command === tool);
    if (command === 'undo') button.disabled = done.length === 0;
    if (command === 'redo') button.disabled = undone.length === 0;
  }
  showSize(settings);
  byId('edit-tolerance-row', HTMLLabelElement).hidden = tool !== 'grow';
  byId('edit-tolerance', HTMLInputElement).value = String(tolerancePercent);
  byId('edit-tolerance-text', HTMLOutputElement).textContent = t('edit.toleranceText', { percent: tolerancePercent });
  const said = byTestId('edit-said', HTMLParagraphElement);
  const text = read(done.length === 0 ? editing.said : [editing.said, say('edit.undoable', { n: done.length })]);
  if (said.textContent !== text) said.textContent = text;
  if (wasHidden) buttons().find((button) => button.dataset.edit === tool)?.focus({ preventScroll: true });
}

/** The outline of pen and eraser under the pointer. */
export function showBrush(viewer: Viewer, settings: EditSettings, place: Parameters<PointerHooks['hover']>[0]): void {
  const outline = byId('brush', HTMLDivElement);
  outline.hidden = place === null || (settings.tool !== 'pen' && settings.tool !== 'eraser');
  if (place === null || outline.hidden) return;
  const pixels = viewer.pixelsOf(place.point, settings.brushMm);
  Object.assign(outline.style, { left: `${place.x}px`, top: `${place.y}px`, width: `${pixels}px`, height: `${pixels}px` });
}

function buttons(): HTMLButtonElement[] {
  return Array.from(document.querySelectorAll<HTMLButtonElement>('button[data-edit]'));
}

/** Hidden where there is one label. */
function showLabelChoice({ spec }: Result, label: number): void {
  const labels = spec.labels.filter(({ index }) => index !== 0);
  const choice = byId('edit-label', HTMLSelectElement);
  byId('edit-label-row', HTMLLabelElement).hidden = labels.length < 2;
  if (choice.options.length !== labels.length || labels.some(({ name }, n) => choice.options[n]!.text !== name)) {
    choice.replaceChildren(...labels.map(({ index, name }) => new Option(name, String(index))));
  }
  choice.value = String(label);
}

function showSize(settings: EditSettings): void {
  const slider = byId('edit-size', HTMLInputElement);
  const size = sizeMm(settings);
  const isUsed = settings.tool === 'pen' || settings.tool === 'eraser' || settings.tool === 'grow';
  slider.disabled = !isUsed;
  slider.value = String(size);
  const mm = formatNumber(settings.tool === 'grow' ? size / 2 : size);
  const key = settings.tool === 'grow' ? (settings.isDisc ? 'edit.growDisc' : 'edit.growSphere') : settings.isDisc ? 'edit.sizeDisc' : 'edit.sizeSphere';
  const text = isUsed ? t(key, { mm }) : t('edit.sizeUnused');
  byId('edit-size-text', HTMLOutputElement).textContent = text;
  slider.setAttribute('aria-valuetext', text);
}
