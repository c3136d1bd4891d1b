// float32 or float16 activations? float32 is exact and the default; float16 is for devices short of memory.

const GIB = 2 ** 30;

/**
 * Whether a run that would take `float32Bytes` should store halves from the start: where the browser says that the
 * machine has less than 8 GiB (graphics shares it then, nearly always) and the run would take over a quarter of it.
 * Browsers that say nothing, and larger machines, get float32 and fall back only if the device has no room for it.
 */
export function savesMemory(float32Bytes: number, machineGiB: number | undefined): boolean {
  return machineGiB !== undefined && machineGiB < 8 && float32Bytes > (machineGiB * GIB) / 4;
}

/**
 * Chromium's `navigator.deviceMemory`: a power of two, rounded; undefined elsewhere. Safari and Firefox say nothing, but on a phone
 * a page with graphics memory and all that takes more than about 1.5 GiB is ended without a word.
 */
export function machineMemoryGiB(): number | undefined {
  const { deviceMemory, userAgent } = navigator as Navigator & { readonly deviceMemory?: number };
  return deviceMemory ?? (/iPhone|iPad|iPod|Android/.test(userAgent) ? 3 : undefined);
}
