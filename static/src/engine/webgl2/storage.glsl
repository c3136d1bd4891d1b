// STORED(v): v as a plane can hold it. float16 ends at 65504; a larger value would become infinity, and infinity times zero NaN.
// Defines: HALF.
#if HALF
#define STORED(v) clamp(v, -65504.0, 65504.0)
#else
#define STORED(v) (v)
#endif
