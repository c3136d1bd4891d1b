// Numbers and text as the reports show them. Twin of meshnet/infer/report/numbers.py.

/** Stands for a number that a result does not have. */
export const NONE = '–';

/** `value` with this number of decimals; never "-0". */
export function fixed(value: number, decimals: number): string {
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? text.replace(/^-/, '') : text;
}

/** The same; a dash for null. */
export function fixedOrNone(value: number | null | undefined, decimals: number): string {
  return value == null ? NONE : fixed(value, decimals);
}

/** A volume with about three significant digits: "34.9 mL", "0.42 mL", "0.013 mL", "1243 mL". */
export function spokenMl(value: number): string {
  return `${fixed(value, decimalsOfMl(value))} mL`;
}

/** Decimals that give a volume about three significant digits, and show a single voxel of 1 mm³. */
export function decimalsOfMl(value: number): number {
  return value >= 100 ? 0 : value >= 10 ? 1 : value >= 0.1 ? 2 : 3;
}

/** Text for HTML, with quotes escaped too. */
export function safe(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;').replaceAll("'", '&#x27;');
}

export function base64(bytes: Uint8Array): string {
  let text = '';
  for (let n = 0; n < bytes.length; n += 0x8000) text += String.fromCharCode(...bytes.subarray(n, n + 0x8000));
  return btoa(text);
}
