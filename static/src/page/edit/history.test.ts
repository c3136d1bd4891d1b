import { describe, expect, test } from 'vitest';
import { deltaBetween } from '../../volume/label-delta';
import { Editor } from './editor';
import { isEdited, MOST_BYTES, MOST_STEPS, redoneStep, revertStep, toolNames, undoneStep, withStep } from './history';
import type { Edit, EditName } from './history';

const GRID = { dims: [6, 5, 4], affineVox2ras: [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1] } as const;
const BASE = Uint8Array.from({ length: 120 }, (_, n) => (n < 20 ? 1 : n < 40 ? 2 : 0));
const UNDER = BASE.map((label) => (label === 1 ? 3 : label));

/** An editor with its edit, as the page holds them. */
class Table {
  readonly editor = new Editor(GRID, BASE, UNDER, null);
  edit: Edit | null = null;

  step(name: EditName, change: (editor: Editor) => void): void {
    change(this.editor);
    const delta = this.editor.settle();
    this.edit = withStep(this.edit, { name, delta }, this.editor.difference());
  }

  undo(): void {
    this.editor.revert(this.edit!.done.at(-1)!.delta);
    this.edit = undoneStep(this.edit!, this.editor.difference());
  }

  redo(): void {
    this.editor.apply(this.edit!.undone[0]!.delta);
    this.edit = redoneStep(this.edit!, this.editor.difference());
  }
}

describe('edits', () => {
  test('fifty steps can be undone and made again, and no more', () => {
    const table = new Table();
    const after: Uint8Array[] = [];
    for (let n = 0; n < MOST_STEPS + 10; n++) {
      table.step(n % 2 === 0 ? 'pen' : 'eraser', (editor) => { if (n % 2 === 0) editor.paint([40 + n], 1); else editor.erase([40 + n - 1], 1); });
      after.push(table.editor.labels.slice());
    }
    expect(table.edit!.done).toHaveLength(MOST_STEPS);
    for (let n = 0; n < MOST_STEPS; n++) table.undo();
    expect(table.edit!.done).toHaveLength(0);
    expect(table.editor.labels).toEqual(after[9]);
    for (let n = 0; n < MOST_STEPS; n++) table.redo();
    expect(table.editor.labels).toEqual(after.at(-1));
    expect(table.edit!.undone).toHaveLength(0);
  });

  test('steps beyond the bound of bytes are dropped, the latest never', () => {
    const runs = MOST_BYTES / 10 / 2;
    const large = { starts: new Uint32Array(runs), lengths: new Uint32Array(runs), before: new Uint8Array(runs), after: new Uint8Array(runs) };
    let edit: Edit | null = null;
    for (let n = 0; n < 4; n++) edit = withStep(edit, { name: 'grow', delta: large }, large);
    expect(edit!.done).toHaveLength(2);
    const huge = { ...large, starts: new Uint32Array(MOST_BYTES) };
    expect(withStep(edit, { name: 'smooth', delta: huge }, huge).done.map(({ name }) => name)).toEqual(['smooth']);
  });

  test('a further step takes the undone ones away', () => {
    const table = new Table();
    table.step('pen', (editor) => { editor.paint([50], 1); });
    table.undo();
    expect(isEdited(table)).toBe(false);
    expect(toolNames(table)).toEqual([]);
    table.step('grow', (editor) => { editor.paint([51], 1); });
    expect(table.edit!.undone).toEqual([]);
    expect(toolNames(table)).toEqual(['grow']);
  });

  test('the tools are named in order, once where one was used several times in a row', () => {
    const table = new Table();
    for (const [n, name] of (['pen', 'pen', 'smooth', 'pen'] as const).entries()) table.step(name, (editor) => { editor.paint([60 + n], 2); });
    expect(toolNames(table)).toEqual(['pen', 'smooth', 'pen']);
  });

  test('a revert leads back to the result’s own labels and can be undone', () => {
    const table = new Table();
    table.step('pen', (editor) => { editor.paint([70, 71], 1); });
    const edited = table.editor.labels.slice();
    const step = revertStep(table.edit!);
    table.step('revert', (editor) => { for (const [run, start] of step.delta.starts.entries()) editor.labels.fill(step.delta.after[run]!, start, start + step.delta.lengths[run]!); });
    expect(table.editor.labels).toEqual(BASE);
    expect(isEdited(table)).toBe(false);
    table.undo();
    expect(table.editor.labels).toEqual(edited);
    expect(toolNames(table)).toEqual(['pen']);
    table.redo();
    table.step('eraser', (editor) => { editor.erase([0], 1); });
    expect(toolNames(table)).toEqual(['eraser']);
  });
});

describe('the editor', () => {
  test('erases one label only, and shows what lies under it', () => {
    const { editor } = new Table();
    editor.erase([0, 25, 90], 1);
    expect([editor.labels[0], editor.labels[25], editor.labels[90]]).toEqual([3, 2, 0]);
    editor.erase([25], 2);
    expect(editor.labels[25]).toBe(0);
  });

  test('takes an abandoned stroke back', () => {
    const { editor } = new Table();
    editor.paint([50, 51], 2);
    editor.abandon();
    expect(editor.labels).toEqual(BASE);
    expect(editor.settle().starts).toHaveLength(0);
  });

  test('starts with the edits so far', () => {
    const edited = BASE.map((label, n) => (n > 100 ? 2 : label));
    const editor = new Editor(GRID, BASE, UNDER, deltaBetween(BASE, edited));
    expect(editor.labels).toEqual(edited);
    expect(editor.settle().starts).toHaveLength(0);
    expect(editor.difference()).toEqual(deltaBetween(BASE, edited));
  });
});
