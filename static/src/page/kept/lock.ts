// Of the windows of one browser one keeps scans: two would overwrite each other's. The others ask it to forget.

const NAME = 'meshnet-kept';

/** How long another window may take to forget. */
const PATIENCE_MS = 10_000;

/** Gives the right to keep back. */
export type Release = () => void;

/** Takes the right to keep; null where another window has it. */
export function takeLock(): Promise<Release | null> {
  return hold({ ifAvailable: true });
}

/** Resolves once the other window has given the right back, which this one has then. */
export async function waitForLock(): Promise<Release> {
  return (await hold({}))!;
}

function hold(options: LockOptions): Promise<Release | null> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(NAME, options, (lock) => {
        if (lock === null) {
          resolve(null);
          return undefined;
        }
        return new Promise<void>((release) => { resolve(release); });
      })
      .catch(reject);
  });
}

/** Runs `forget` when another window asks for it. Returns the function that ends this. */
export function forgetOnRequest(forget: () => Promise<void>): () => void {
  const channel = new BroadcastChannel(NAME);
  channel.onmessage = ({ data }: MessageEvent<unknown>): void => {
    if (data === 'forget') void forget().then(answer);
  };
  return () => { channel.close(); };
}

/** On another channel: forgetting ends the one that the request came by. */
function answer(): void {
  const channel = new BroadcastChannel(NAME);
  channel.postMessage('forgotten');
  channel.close();
}

/** Asks the window that keeps scans to forget them; false where it does not answer. */
export function askToForget(): Promise<boolean> {
  const channel = new BroadcastChannel(NAME);
  return new Promise((resolve) => {
    const end = (isForgotten: boolean): void => {
      clearTimeout(timer);
      channel.close();
      resolve(isForgotten);
    };
    const timer = setTimeout(() => { end(false); }, PATIENCE_MS);
    channel.onmessage = ({ data }: MessageEvent<unknown>): void => { if (data === 'forgotten') end(true); };
    channel.postMessage('forget');
  });
}
