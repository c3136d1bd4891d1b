// Keeps the screen on during a run.

/** Phones lock after half a minute and stop the page with it. Null where the browser can't or won't. */
export async function keepAwake(): Promise<WakeLockSentinel | null> {
  try {
    return await navigator.wakeLock.request('screen');
  } catch {
    return null;
  }
}
