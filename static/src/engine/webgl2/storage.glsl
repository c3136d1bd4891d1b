// What the planes hold. 16-bit floats end at 65504: beyond, a value would become infinite, and infinity times zero is no number.
// Defines: HALF.
#if HALF
#define STORED(v) clamp(v, -65504.0, 65504.0)
#else
#define STORED(v) (v)
#endif
