// float32 ↔ float16 bits. `Float16Array` is too new to rely on.

const f32 = new Float32Array(1);
const bits = new Uint32Array(f32.buffer);

/** Nearest float16 (ties to even), saturating at ±65504; NaN stays NaN. */
export function toHalf(value: number): number {
  f32[0] = value;
  const sign = (bits[0]! >>> 16) & 0x8000;
  const magnitude = bits[0]! & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7bff;
  if (magnitude < 0x38800000) {
    // Subnormal: adding 0.5 leaves the float16 mantissa, rounded, in the low bits.
    f32[0] = Math.abs(f32[0]) + 0.5;
    return sign | (bits[0]! - 0x3f000000);
  }
  const odd = (magnitude >>> 13) & 1;
  return sign | ((magnitude - 0x38000000 + 0xfff + odd) >>> 13);
}

/** The exact value of a float16. */
export function fromHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >>> 10) & 0x1f;
  const mantissa = half & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa ? NaN : sign * Infinity;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
