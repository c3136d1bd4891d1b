// The policy for the storage format: float32 is exact and the default; float16 is for devices short of memory.

/** How an engine stores activations between layers. */
export type StorageFormat = 'float32' | 'float16';

export function bytesPerValue(format: StorageFormat): 4 | 2 {
  return format === 'float32' ? 4 : 2;
}

const GIB = 2 ** 30;

/**
 * Whether a run that would take `float32Bytes` should store float16 from the start: where the browser says that the
 * machine has less than 8 GiB (graphics nearly always shares it) and the run would take over a quarter of it.
 * Where the browser says nothing, and on larger machines, a run starts with float32 and changes to float16 only if the
 * device has no room for it.
 */
export function savesMemory(float32Bytes: number, machineGiB: number | undefined): boolean {
  return machineGiB !== undefined && machineGiB < 8 && float32Bytes > (machineGiB * GIB) / 4;
}

/**
 * Chromium's `navigator.deviceMemory`: a power of two, rounded; undefined elsewhere. Safari and Firefox say nothing; a phone
 * ends a page without a message when page and graphics together take more than about 1.5 GiB, so phones count as 3 GiB.
 */
export function machineMemoryGiB(): number | undefined {
  if (typeof navigator === 'undefined') return undefined; // Node 20
  const { deviceMemory, userAgent } = navigator as Navigator & { readonly deviceMemory?: number };
  return deviceMemory ?? (/iPhone|iPad|iPod|Android/.test(userAgent) ? 3 : undefined);
}
