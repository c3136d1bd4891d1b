// The WebAssembly memory of runs in a row: the last run's again, for as long as the collector has not taken it. The
// collector sees little of what a memory holds, so that new ones would pile up beside old ones.

export class RunMemory {
  private kept: WeakRef<WebAssembly.Memory> | null = null;

  constructor(private readonly shared: boolean) {}

  /** A zeroed memory of so many pages of 64 KiB. Throws an Error with its size where the browser gives none. */
  take(pages: number): WebAssembly.Memory {
    const memory = this.kept?.deref();
    this.kept = null;
    if (memory?.buffer.byteLength !== pages * 65536) return allocate(pages, this.shared);
    new Uint8Array(memory.buffer).fill(0);
    return memory;
  }

  /** For the next run. Not after a failure: a thread that was ended may still be writing. */
  keep(memory: WebAssembly.Memory): void {
    this.kept = new WeakRef(memory);
  }
}

/** Threads, or the memory they share, are not to be had; one thread on a memory of its own may be. */
export class ThreadsFailed extends Error {}

/** A zeroed memory. Throws an Error with its size where the browser gives none: ThreadsFailed for a shared one. */
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
