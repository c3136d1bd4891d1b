// Messages between the service worker and the page.

import type { Message } from '../texts/message';

export type FromServiceWorker =
  /** A version is being fetched. */
  | { readonly type: 'keeping'; readonly done: number; readonly total: number }
  /** The version could not be kept; `reason` is a sentence for the visitor. */
  | { readonly type: 'not-kept'; readonly reason: Message }
  /** `apply-update` was refused: other windows still show the version before. */
  | { readonly type: 'windows-open'; readonly others: number };

/** Asks the service worker to take over now; the page reloads afterwards. */
export interface ToServiceWorker {
  readonly type: 'apply-update';
}
