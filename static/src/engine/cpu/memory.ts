// The WebAssembly memory of successive runs. A run reuses the last run's memory where its size fits and the garbage
// collector still holds it. The collector doesn't count a memory's bytes, so new memories would pile up beside old ones.

export class RunMemory {
  private kept: WeakRef<WebAssembly.Memory> | null = null;

  constructor(readonly shared: boolean) {}

  /** A zeroed memory of `pages` pages of 64 KiB. Throws an Error with its size where the browser refuses it. */
  take(pages: number): WebAssembly.Memory {
    const memory = this.kept?.deref();
    this.kept = null;
    if (memory?.buffer.byteLength !== pages * 65536) return allocate(pages, this.shared);
    new Uint8Array(memory.buffer).fill(0);
    return memory;
  }

  /** Keeps the memory for the next run. Do not call it after a failure: a thread that was ended may still be writing. */
  keep(memory: WebAssembly.Memory): void {
    this.kept = new WeakRef(memory);
  }
}

/** Threads or their shared memory are refused; one thread with unshared memory may still work. */
export class ThreadsFailed extends Error {}

/** A zeroed memory of `pages` pages. Throws an Error with its size where the browser refuses it: ThreadsFailed for a shared one. */
export function allocate(pages: number, shared: boolean): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
  } catch (error) {
    const mebibytes = pages / 16;
    const size = mebibytes < 1024 ? `${mebibytes.toFixed(1)} MiB` : `${(mebibytes / 1024).toFixed(2)} GiB`;
    const message = `CPU: the browser would not give ${size} of memory (${pages * 65536} bytes); close other tabs or use a narrower model`;
    throw new (shared ? ThreadsFailed : Error)(message, { cause: error });
  }
}
