// Parts of the page's state that its list of scans, its panels and its actions share: plain data. This module imports nothing of
// the page but the type of its texts.
import type { Progress } from '../engine/types';
import type { Comparison } from '../volume/compare';
import type { Message, Text } from './texts/message';

/** A run of a model under way. */
export interface Run {
  /** Whether a backend has started; `PageState.choice` says which. */
  readonly started: boolean;
  readonly progress: Progress | null;
  /** Since the backend started. */
  readonly elapsedSeconds: number;
}

/** The visitor's settings of a result: what is removed from its labels, and what is saved of them. */
export interface Cleaning {
  /** Components below this volume are removed; null where none are. */
  readonly smallestMl: number | null;
  /** Lesions outside the brain stay, of a model that labels lesion and tissue. */
  readonly keepOutsideBrain: boolean;
  /** The tissue around the lesion is saved too. */
  readonly allLabels: boolean;
  /** A sentence where the field holds no volume. */
  readonly problem: Message | null;
}

export interface ConfidenceSettings {
  /** Runs are averaged with the mirror image. */
  readonly mirror: boolean;
  /** The probability lies over the labels. */
  readonly probability: boolean;
}

/** A comparison of the shown result. */
export interface Compared {
  /** Name of the mask's file or of the other result. */
  readonly name: Text;
  readonly comparison: Comparison;
}
