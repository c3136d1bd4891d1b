// The page's sentences about the scans that it keeps.
import type { Study } from '../studies';
import type { Text } from '../texts/message';

export interface Keeping {
  /** Whether the visitor wants scans and results kept. */
  readonly isOn: boolean;
  /** Scans that lie in the browser's storage, by their id: the results as they lie there. */
  readonly kept: Readonly<Record<number, Study['results']>>;
  /** Of all kept scans. */
  readonly bytes: number;
  /** Kept scans that could not be read. */
  readonly unread: number;
  /** A sentence where keeping fails, or is not possible here. */
  readonly problem: Text | null;
}

export const NOTHING_KEPT: Keeping = { isOn: false, kept: {}, bytes: 0, unread: 0, problem: null };

/** Whether the scan lies in the browser's storage with its results as they are. */
export function isKept({ kept }: Keeping, { source, results }: Study): boolean {
  return kept[source.id] === results;
}

/** Scans that lie in the browser's storage. */
export function keptCount({ kept, unread }: Keeping): number {
  return Object.keys(kept).length + unread;
}
