// Keeps the screen on during a run.

/** Phones lock after half a minute, which stops the page. Null where the browser refuses. */
export async function keepAwake(): Promise<WakeLockSentinel | null> {
  try {
    return await navigator.wakeLock.request('screen');
  } catch {
    return null;
  }
}
