// Tools and their settings. Plain data; they stay as they are from one result to the next.

import type { Text } from '../texts/message';

export const TOOLS = ['look', 'pen', 'eraser', 'grow', 'delete', 'keep'] as const;

/** Meaning of a press on the picture. `look` moves the crosshair, as without editing. */
export type Tool = (typeof TOOLS)[number];

export interface EditSettings {
  readonly tool: Tool;
  /** Pen, eraser and growing stay in one slice. */
  readonly isDisc: boolean;
  /** Diameter of pen and eraser. */
  readonly brushMm: number;
  /** Diameter of the ball that growing stays in. */
  readonly growMm: number;
  /** Of growing: largest difference to the intensity at the press, in percent of the contrast range of the picture. */
  readonly tolerancePercent: number;
}

export const FIRST_SETTINGS: EditSettings = { tool: 'pen', isDisc: true, brushMm: 6, growMm: 40, tolerancePercent: 10 };

/** The editing under way. */
export interface Editing {
  readonly resultId: number;
  /** The label that the tools change. */
  readonly label: number;
  /** Outcome of the last step, for the status line. */
  readonly said: Text;
}

export const SMALLEST_MM = 0.5;
export const LARGEST_MM = 100;

/** Size of the tool that is chosen. */
export function sizeMm({ tool, brushMm, growMm }: EditSettings): number {
  return tool === 'grow' ? growMm : brushMm;
}

export function withSize(settings: EditSettings, size: number): EditSettings {
  const within = Math.min(LARGEST_MM, Math.max(SMALLEST_MM, size));
  return settings.tool === 'grow' ? { ...settings, growMm: within } : { ...settings, brushMm: within };
}

/** A press on "smaller" or "larger": half millimetres below 4 mm, above it whole ones. */
export function resized(settings: EditSettings, direction: 1 | -1): EditSettings {
  const now = sizeMm(settings);
  const step = now < 4 || (now === 4 && direction < 0) ? 0.5 : 1;
  return withSize(settings, now + direction * step);
}
