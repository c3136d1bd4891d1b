// When a kiosk page warns and when it wipes itself. Pure: the time is an argument.

/** How long the warning shows before the page is wiped. */
export const WARNING_SECONDS = 15;

export type IdleState = { readonly kind: 'in-use' } | { readonly kind: 'warning'; readonly secondsLeft: number } | { readonly kind: 'wipe' };

/**
 * State of a page whose last input (or end of a run) was `idleMs` milliseconds ago; it is wiped after
 * `idleSeconds`, with a warning before. A page without any input since it was loaded has nothing to wipe.
 */
export function idleState(idleMs: number, idleSeconds: number, touched: boolean): IdleState {
  if (!touched) return { kind: 'in-use' };
  const secondsLeft = idleSeconds - idleMs / 1000;
  if (secondsLeft <= 0) return { kind: 'wipe' };
  return secondsLeft <= WARNING_SECONDS ? { kind: 'warning', secondsLeft: Math.ceil(secondsLeft) } : { kind: 'in-use' };
}
