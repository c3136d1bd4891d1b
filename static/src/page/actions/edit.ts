// Correcting the shown result by hand. Every step changes the labels of the editor (edit/editor.ts), and the difference that it made
// goes into the state at once; the volumes follow when the worker has measured them.
import { brushVoxels, isInside } from '../../volume/brush';
import type { Axis } from '../../volume/brush';
import { reachOf } from '../../volume/flood';
import { voxelSizeMm } from '../../volume/affine';
import { deltaVoxels, isEmptyDelta, NO_DELTA } from '../../volume/label-delta';
import { shownIndices } from '../../volume/label-roles';
import type { Dims } from '../../volume/volume';
import { CallError } from '../../worker/client';
import type { EditTool } from '../../worker/edit-tools';
import type { PicturePoint } from '../picture/drawing';
import { Editor } from '../edit/editor';
import { isEdited, redoneStep, revertStep, undoneStep, withStep } from '../edit/history';
import type { Edit, EditName } from '../edit/history';
import type { Command } from '../edit/keys';
import { resized, TOOLS } from '../edit/settings';
import type { EditSettings } from '../edit/settings';
import type { Session } from '../session';
import { allowsEditing, isBusy, NOTHING_DRAWN, restingKind, withoutEditing } from '../state';
import { outcomeRequest, shownResult, shownStudy, withEdit, withMeasured, withStudy } from '../studies';
import type { Result, Study } from '../studies';
import { textOf } from '../texts/language';
import { say } from '../texts/message';
import type { Message, Text } from '../texts/message';
import { refresh, restingText } from './look';

/** A press on the picture: a voxel of the scan, and the voxel axis across its slice. */
type Place = Pick<PicturePoint, 'voxel' | 'sliceAxis'>;

/** Opens the tools for the shown result. */
export async function startEditing(session: Session): Promise<void> {
  const study = shownStudy(session.state);
  const result = shownResult(study);
  if (study?.facts == null || result === null || session.state.editing !== null || !allowsEditing(session.state)) return;
  if (isBusy(session.state)) {
    session.say({ remark: say('edit.busy') });
    return;
  }
  session.enter('loading', say('edit.opening'));
  try {
    const { base, under } = await session.idleClient.call('editable', outcomeRequest(study, result));
    session.enter(restingKind(session.state), restingText(session.state));
    if (shownResult(shownStudy(session.state)) !== result) return;
    const { labels: names } = result.spec;
    session.change({ comparison: null, editing: { resultId: result.id, label: shownIndices(result.spec)[0] ?? 1, said: '' } });
    const editor = (session.editor = new Editor(study.facts.grid, base, under, result.edit?.delta ?? null));
    await session.draw((viewer) => {
      viewer.edit(editor.labels, names, result.visible);
      editor.fillAxis = viewer.crosshair().sliceAxis;
    });
  } catch (error) {
    session.fail(error);
  }
}

/** Closes the tools; the edits stay. */
export async function stopEditing(session: Session): Promise<void> {
  session.change(withoutEditing(session.state));
  await refresh(session);
}

export function changeSettings(session: Session, changes: Partial<EditSettings>): void {
  session.change({ editSettings: { ...session.state.editSettings, ...changes } });
}

export function pickLabel(session: Session, label: number): void {
  const { editing } = session.state;
  if (editing !== null) session.change({ editing: { ...editing, label } });
}

/** Runs the command of a button or a key. */
export async function runCommand(session: Session, command: Command): Promise<void> {
  const { editSettings } = session.state;
  const tool = TOOLS.find((one) => one === command);
  if (tool !== undefined) changeSettings(session, { tool });
  else if (command === 'disc') changeSettings(session, { isDisc: !editSettings.isDisc });
  else if (command === 'smaller' || command === 'larger') session.change({ editSettings: resized(editSettings, command === 'larger' ? 1 : -1) });
  else if (command === 'fill') await fillBetween(session);
  else if (command === 'smooth') await smooth(session);
  else if (command === 'undo') await undo(session);
  else if (command === 'redo') await redo(session);
  else if (command === 'close') await stopEditing(session);
  else if (command === 'use') await useAtCrosshair(session);
}

/** The chosen tool at the crosshair, for the keyboard. */
async function useAtCrosshair(session: Session): Promise<void> {
  const viewer = await session.services.viewer;
  if (viewer === null) return;
  await press(session, viewer.crosshair(), false);
  endStroke(session);
}

/** A press with the chosen tool, or with the eraser. */
export async function press(session: Session, place: Place, isEraser: boolean): Promise<void> {
  const { editor, state: { editing, editSettings: { tool } } } = session;
  if (editor === null || editing === null || tool === 'look' || isAtWork(session)) return;
  const { labels, grid } = editor;
  const [i, j, k] = place.voxel.map(Math.round) as unknown as Dims;
  if (!isInside(grid.dims, i, j, k)) return;
  const voxel = i + grid.dims[0] * (j + grid.dims[1] * k);
  if (isEraser || tool === 'pen' || tool === 'eraser') {
    editor.stroke = { name: isEraser ? 'eraser' : (tool as 'pen' | 'eraser'), last: place.voxel, sliceAxis: place.sliceAxis };
    await stroke(session, place.voxel);
  } else if (tool === 'grow') await grow(session, [i, j, k], place.sliceAxis);
  else {
    const nothing = say(tool === 'delete' ? 'edit.noPiece' : 'edit.noOtherPiece', { label: nameOf(session) });
    await use(session, tool === 'delete' ? 'delete piece' : 'keep piece', { tool, labels, grid, label: editing.label, voxel }, nothing);
  }
}

/** A move with the pen or the eraser down. */
export async function stroke(session: Session, to: Dims): Promise<void> {
  const { editor, state: { editing, editSettings: { brushMm, isDisc } } } = session;
  if (editor === null || editing === null || editor.stroke === null) return;
  const { name, last, sliceAxis } = editor.stroke;
  const voxels = brushVoxels(editor.grid, last, to, { diameterMm: brushMm, discAxis: isDisc ? sliceAxis : null });
  editor.stroke = { ...editor.stroke, last: to };
  if (name === 'pen') editor.paint(voxels, editing.label);
  else editor.erase(voxels, editing.label);
  await redraw(session, voxels);
}

export function endStroke(session: Session): void {
  const { editor } = session;
  if (editor === null || editor.stroke === null) return;
  const { name, sliceAxis } = editor.stroke;
  editor.stroke = null;
  editor.fillAxis = sliceAxis;
  endStep(session, name, say('edit.unchanged'));
}

export async function abandonStroke(session: Session): Promise<void> {
  session.editor?.abandon();
  await redraw(session, null);
}

async function grow(session: Session, seed: Dims, sliceAxis: Axis): Promise<void> {
  const { editor, state: { editSettings: { growMm, tolerancePercent, isDisc } } } = session;
  const viewer = await session.services.viewer;
  if (editor === null || viewer === null) return;
  const { values, range } = viewer.intensity();
  const growth = { tolerance: (tolerancePercent / 100) * range, reachMm: growMm / 2, sliceAxis: isDisc ? sliceAxis : null };
  const { voxelOf, ...reach } = reachOf(values, editor.grid, seed, growth);
  await use(session, 'grow', { tool: 'grow', ...reach, growth }, say('edit.grown'), voxelOf);
}

async function fillBetween(session: Session): Promise<void> {
  const { editor, state: { editing } } = session;
  if (editor === null || editing === null || isAtWork(session)) return;
  const { labels, base, grid, fillAxis: axis } = editor;
  await use(session, 'fill between slices', { tool: 'fill', labels, base, grid, label: editing.label, axis }, say('edit.noGap'));
}

async function smooth(session: Session): Promise<void> {
  const { editor, state: { editing } } = session;
  if (editor === null || editing === null || isAtWork(session)) return;
  const { labels, grid } = editor;
  // As much as the voxels within a slice are wide, so that it shows in the picture; at least 1 mm.
  const sigmaMm = Math.max(1, Math.min(...voxelSizeMm(grid.affineVox2ras)));
  await use(session, 'smooth', { tool: 'smooth', labels, grid, label: editing.label, sigmaMm }, say('edit.isSmooth'));
}

/** Whether a tool is at work in its worker: until it has ended the labels stay as they are. */
function isAtWork({ editor }: Session): boolean {
  return editor?.isAtWork === true;
}

/** Lets the worker of the tools find the voxels that change, and changes them. `nothing` is said where there are none. */
async function use(session: Session, name: EditName, request: EditTool, nothing: Message, voxelOf = (voxel: number): number => voxel): Promise<void> {
  const { editor, state: { editing } } = session;
  if (editor === null || editing === null) return;
  editor.isAtWork = true;
  tell(session, say('edit.atWork', { step: say(`edit.step.${name}`) }));
  try {
    const { added, removed } = await session.services.tools.use(request);
    if (session.editor !== editor) return; // the tools were closed meanwhile
    const paints = added.map(voxelOf);
    editor.paint(paints, editing.label);
    editor.erase(removed, editing.label);
    await redraw(session, paints);
    await redraw(session, removed);
    await nextTask();
    editor.isAtWork = false;
    endStep(session, name, nothing);
  } catch (error) {
    if (session.editor === editor) tell(session, say('edit.toolFailed', { reason: textOf(error) }));
  } finally {
    editor.isAtWork = false;
  }
}

/** Lets the page answer in between. */
function nextTask(): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, 0); });
}

async function undo(session: Session): Promise<void> {
  const { editor } = session;
  const edit = editedResult(session)?.edit ?? null;
  const step = edit?.done.at(-1);
  if (editor === null || edit === null || step === undefined || isAtWork(session)) return;
  editor.revert(step.delta);
  takeUp(session, undoneStep(edit, editor.difference()), say('edit.undone', { step: say(`edit.step.${step.name}`) }));
  await redraw(session, deltaVoxels(step.delta));
}

async function redo(session: Session): Promise<void> {
  const { editor } = session;
  const edit = editedResult(session)?.edit ?? null;
  const step = edit?.undone[0];
  if (editor === null || edit === null || step === undefined || isAtWork(session)) return;
  editor.apply(step.delta);
  takeUp(session, redoneStep(edit, editor.difference()), say('edit.redone', { step: say(`edit.step.${step.name}`) }));
  await redraw(session, deltaVoxels(step.delta));
}

/** Reverts all edits of the shown result. With the tools open this can be undone. */
export async function revertEdits(session: Session): Promise<void> {
  const result = shownResult(shownStudy(session.state));
  if (result?.edit == null || !isEdited(result) || isAtWork(session)) return;
  const step = revertStep(result.edit);
  session.editor?.apply(step.delta);
  takeUp(session, withStep(result.edit, step, NO_DELTA), say('edit.reverted'));
  if (session.editor !== null) await redraw(session, deltaVoxels(step.delta));
  else {
    session.change({ drawn: { ...NOTHING_DRAWN, studyId: session.state.drawn.studyId } });
    await refresh(session);
  }
}

/** Takes the change since the last step into the state; `nothing` is said where there is none. */
function endStep(session: Session, name: EditName, nothing: Message): void {
  const { editor } = session;
  const result = editedResult(session);
  if (editor === null || result === null) return;
  const delta = editor.settle();
  if (isEmptyDelta(delta)) {
    tell(session, nothing);
    return;
  }
  takeUp(session, withStep(result.edit, { name, delta }, editor.difference()), say('edit.did', { step: say(`edit.step.${name}`) }));
}

function takeUp(session: Session, edit: Edit, said: Message): void {
  const study = shownStudy(session.state);
  const result = shownResult(study);
  if (study === null || result === null) return;
  session.change({ studies: withStudy(session.state.studies, study.source.id, (now) => withEdit(now, result.id, edit)) });
  tell(session, said);
  void measureEdits(session);
}

function tell(session: Session, said: Message): void {
  const { editing } = session.state;
  if (editing !== null) session.change({ editing: { ...editing, said } });
}

/** Measures the edits that are not in the table yet, beside whatever is under way. */
async function measureEdits(session: Session): Promise<void> {
  if (session.isMeasuring) return;
  session.isMeasuring = true;
  for (let due = nextUnmeasured(session); due !== null; due = nextUnmeasured(session)) {
    try {
      await measure(session, ...due);
    } catch (error) {
      // A worker that was ended, with a run or after a queue, is replaced.
      if (error instanceof CallError && error.cancelled) continue;
      session.say({ remark: say('edit.unmeasured', { reason: textOf(error) }) });
      break;
    }
  }
  session.isMeasuring = false;
  session.endReader();
}

/** The result with the volumes of its edits, which the table may not have yet. */
export async function withOutcome(session: Session, study: Study, result: Result): Promise<Result> {
  if (result.edit?.isMeasured !== false) return result;
  const { outcome } = await session.idleClient.call('outcome', outcomeRequest(study, result));
  return { ...result, outcome };
}

async function measure(session: Session, study: Study, result: Result): Promise<void> {
  const { outcome } = await session.idleClient.call('outcome', outcomeRequest(study, result));
  const change = (now: Study): Study => {
    // The removal may have been changed meanwhile, which measures anew.
    const same = now.results.find(({ id }) => id === result.id);
    return same?.smallestMl === result.smallestMl && same.keepOutsideBrain === result.keepOutsideBrain ? withMeasured(now, result.id, outcome, result, result.edit) : now;
  };
  session.change({ studies: withStudy(session.state.studies, study.source.id, change) });
}

function nextUnmeasured({ state }: Session): [Study, Result] | null {
  for (const study of state.studies) {
    const due = study.results.find(({ edit }) => edit?.isMeasured === false);
    if (due !== undefined) return [study, due];
  }
  return null;
}

function editedResult({ state }: Session): Result | null {
  return state.editing === null ? null : shownResult(shownStudy(state));
}

function nameOf(session: Session): Text {
  const { editing } = session.state;
  return editedResult(session)?.spec.labels.find(({ index }) => index === editing?.label)?.name ?? say('edit.theLabel');
}

async function redraw(session: Session, voxels: ArrayLike<number> | null): Promise<void> {
  const viewer = await session.services.viewer;
  viewer?.redrawEdit(voxels);
}
