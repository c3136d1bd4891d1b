// What the service worker and the page say to each other.

export type FromServiceWorker =
  /** A version is being fetched. */
  | { readonly type: 'keeping'; readonly done: number; readonly total: number }
  /** It could not be kept; `reason` is a sentence for the visitor. */
  | { readonly type: 'not-kept'; readonly reason: string }
  /** `apply-update` was refused: other windows still show the version before. */
  | { readonly type: 'windows-open'; readonly others: number };

/** Take over now; the page reloads when that has happened. */
export interface ToServiceWorker {
  readonly type: 'apply-update';
}
