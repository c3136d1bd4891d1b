// One dilated 3x3x3 layer on PLANES consecutive z-planes of one chunk:
//
//   out[o](x, y, z) = activate(bias[o] + sum over i, kx, ky, kz of
//                     weight[o][i][kx][ky][kz] * in[i](x + (kx-1) d, y + (ky-1) d, z + (kz-1) d))
//
// A fragment is one (x, y); it keeps PLANES x OUT_CHANNELS sums in registers, so that a weight is read once
// for PLANES voxels and an input texel once for all output channels. The tail of a channel count that is
// no multiple of four is computed as float/vec2/vec3, not padded.
//
// Bindings: `below`, `centre`, `above` are the chunks that hold planes z - d, z, z + d (layer = plane * IN_GROUPS
// + group, four channels a texel); `base` their first layers, -1 where the window lies outside the volume (zero).
// Uniform blocks Weights0..8, one per (kz, ky), so that each fits the 16 KiB every device has: [kx][i][out group] vec4.
// Dispatch: one triangle per PLANES planes; target k = plane * OUT_GROUPS + group, or with FUSED one RGBA8
// target per plane (see classifier.glsl).
// Defines: IN_CHANNELS, OUT_CHANNELS (of this pass), PLANES, ACTIVATION, FUSED, CLASSES, TARGETS.

#define IN_GROUPS ((IN_CHANNELS + 3) / 4)
#define IN_FULL (IN_CHANNELS / 4)
#define IN_TAIL (IN_CHANNELS % 4)
#define OUT_FULL (OUT_CHANNELS / 4)
#define OUT_TAIL (OUT_CHANNELS % 4)
#define OUT_GROUPS ((OUT_CHANNELS + 3) / 4)

#if OUT_TAIL == 1
#define TAIL float
#define TAIL_OF(v) (v).x
#define TAIL_PAD(t) vec4(t, 0.0, 0.0, 0.0)
#elif OUT_TAIL == 2
#define TAIL vec2
#define TAIL_OF(v) (v).xy
#define TAIL_PAD(t) vec4(t, 0.0, 0.0)
#elif OUT_TAIL == 3
#define TAIL vec3
#define TAIL_OF(v) (v).xyz
#define TAIL_PAD(t) vec4(t, 0.0)
#endif

uniform highp sampler2DArray below;
uniform highp sampler2DArray centre;
uniform highp sampler2DArray above;
uniform ivec3 base;
uniform ivec2 size;
uniform int dilation;
uniform vec4 bias[OUT_GROUPS];

#define ROW_WEIGHTS (3 * IN_CHANNELS * OUT_GROUPS)
layout(std140) uniform Weights0 { vec4 weights0[ROW_WEIGHTS]; };
layout(std140) uniform Weights1 { vec4 weights1[ROW_WEIGHTS]; };
layout(std140) uniform Weights2 { vec4 weights2[ROW_WEIGHTS]; };
layout(std140) uniform Weights3 { vec4 weights3[ROW_WEIGHTS]; };
layout(std140) uniform Weights4 { vec4 weights4[ROW_WEIGHTS]; };
layout(std140) uniform Weights5 { vec4 weights5[ROW_WEIGHTS]; };
layout(std140) uniform Weights6 { vec4 weights6[ROW_WEIGHTS]; };
layout(std140) uniform Weights7 { vec4 weights7[ROW_WEIGHTS]; };
layout(std140) uniform Weights8 { vec4 weights8[ROW_WEIGHTS]; };

layout(location = 0) out vec4 result[TARGETS];

// Registers must be named by constants, so repetition is spelled out by the preprocessor, not by loops.
#if PLANES == 1
#define EACH_PLANE(STEP, a) STEP(0, a)
#elif PLANES == 2
#define EACH_PLANE(STEP, a) STEP(0, a) STEP(1, a)
#elif PLANES == 3
#define EACH_PLANE(STEP, a) STEP(0, a) STEP(1, a) STEP(2, a)
#elif PLANES == 4
#define EACH_PLANE(STEP, a) STEP(0, a) STEP(1, a) STEP(2, a) STEP(3, a)
#endif

#if OUT_FULL == 0
#define EACH_FULL(STEP, a)
#elif OUT_FULL == 1
#define EACH_FULL(STEP, a) STEP(0, a)
#elif OUT_FULL == 2
#define EACH_FULL(STEP, a) STEP(0, a) STEP(1, a)
#elif OUT_FULL == 3
#define EACH_FULL(STEP, a) STEP(0, a) STEP(1, a) STEP(2, a)
#elif OUT_FULL == 4
#define EACH_FULL(STEP, a) STEP(0, a) STEP(1, a) STEP(2, a) STEP(3, a)
#elif OUT_FULL == 5
#define EACH_FULL(STEP, a) STEP(0, a) STEP(1, a) STEP(2, a) STEP(3, a) STEP(4, a)
#elif OUT_FULL == 6
#define EACH_FULL(STEP, a) STEP(0, a) STEP(1, a) STEP(2, a) STEP(3, a) STEP(4, a) STEP(5, a)
#elif OUT_FULL == 7
#define EACH_FULL(STEP, a) STEP(0, a) STEP(1, a) STEP(2, a) STEP(3, a) STEP(4, a) STEP(5, a) STEP(6, a)
#elif OUT_FULL == 8
#define EACH_FULL(STEP, a) STEP(0, a) STEP(1, a) STEP(2, a) STEP(3, a) STEP(4, a) STEP(5, a) STEP(6, a) STEP(7, a)
#endif

#if OUT_FULL > 0
vec4 sums[PLANES * OUT_FULL];
#endif
#if OUT_TAIL > 0
TAIL tailSums[PLANES];
#endif

// sums of plane p, group g += w * channel of that plane's texel v[p]
#define ADD_FULL_AT(p, g) sums[p * OUT_FULL + g] += w * s[p];
#define ADD_TAIL_AT(p, unused) tailSums[p] += w * s[p];

#define ADD_GROUP(g, W) { vec4 w = W[k + g]; EACH_PLANE(ADD_FULL_AT, g) }
#if OUT_TAIL > 0
#define ADD_TAIL(W) { TAIL w = TAIL_OF(W[k + OUT_FULL]); EACH_PLANE(ADD_TAIL_AT, 0) }
#else
#define ADD_TAIL(W)
#endif
#define SPLAT(p, c) s[p] = v[p].c;
#define ADD_CHANNEL(c, W) { float s[PLANES]; EACH_PLANE(SPLAT, c) EACH_FULL(ADD_GROUP, W) ADD_TAIL(W) k += OUT_GROUPS; }

#define FETCH(p, CHUNK) v[p] = inside * texelFetch(CHUNK, ivec3(at, layer + p * IN_GROUPS), 0);

#if IN_TAIL == 1
#define ADD_IN_TAIL(W) ADD_CHANNEL(x, W)
#elif IN_TAIL == 2
#define ADD_IN_TAIL(W) ADD_CHANNEL(x, W) ADD_CHANNEL(y, W)
#elif IN_TAIL == 3
#define ADD_IN_TAIL(W) ADD_CHANNEL(x, W) ADD_CHANNEL(y, W) ADD_CHANNEL(z, W)
#endif

#if IN_TAIL > 0
#define ADD_LAST_GROUP(CHUNK, W) { int layer = first + IN_FULL; vec4 v[PLANES]; EACH_PLANE(FETCH, CHUNK) ADD_IN_TAIL(W) }
#else
#define ADD_LAST_GROUP(CHUNK, W)
#endif

// The three taps of one (ky, kz). A texel outside the plane is read at the nearest inside and counts zero.
#define ADD_ROW(CHUNK, W, ky) { \
  int k = 0; \
  for (int kx = -1; kx <= 1; kx++) { \
    ivec2 wanted = voxel + ivec2(kx, ky) * dilation; \
    ivec2 at = clamp(wanted, ivec2(0), size - 1); \
    float inside = (at == wanted) ? 1.0 : 0.0; \
    for (int g = 0; g < IN_FULL; g++) { \
      int layer = first + g; vec4 v[PLANES]; EACH_PLANE(FETCH, CHUNK) \
      ADD_CHANNEL(x, W) ADD_CHANNEL(y, W) ADD_CHANNEL(z, W) ADD_CHANNEL(w, W) \
    } \
    ADD_LAST_GROUP(CHUNK, W) \
  } \
}
#define ADD_PLANE_TAPS(CHUNK, BASE, W0, W1, W2) \
  if (BASE >= 0) { int first = BASE; ADD_ROW(CHUNK, W0, -1) ADD_ROW(CHUNK, W1, 0) ADD_ROW(CHUNK, W2, 1) }

#define START_FULL(p, g) sums[p * OUT_FULL + g] = bias[g];
#define START_GROUP(g, unused) EACH_PLANE(START_FULL, g)
#define START_TAIL(p, unused) tailSums[p] = TAIL_OF(bias[OUT_FULL]);

#define GATHER(g, p) activations[g] = activate(sums[p * OUT_FULL + g]);
#define STORE_FULL(g, p) result[p * OUT_GROUPS + g] = activate(sums[p * OUT_FULL + g]);

#if FUSED == 1
#if OUT_TAIL > 0
#define FINISH(p, unused) { vec4 activations[GROUPS]; EACH_FULL(GATHER, p) \
  activations[OUT_FULL] = activate(TAIL_PAD(tailSums[p])); result[p] = classify(activations); }
#else
#define FINISH(p, unused) { vec4 activations[GROUPS]; EACH_FULL(GATHER, p) result[p] = classify(activations); }
#endif
#else
#if OUT_TAIL > 0
#define FINISH(p, unused) EACH_FULL(STORE_FULL, p) result[p * OUT_GROUPS + OUT_FULL] = activate(TAIL_PAD(tailSums[p]));
#else
#define FINISH(p, unused) EACH_FULL(STORE_FULL, p)
#endif
#endif

void main() {
  ivec2 voxel = ivec2(gl_FragCoord.xy);
  EACH_FULL(START_GROUP, 0)
#if OUT_TAIL > 0
  EACH_PLANE(START_TAIL, 0)
#endif
  ADD_PLANE_TAPS(below, base.x, weights0, weights1, weights2)
  ADD_PLANE_TAPS(centre, base.y, weights3, weights4, weights5)
  ADD_PLANE_TAPS(above, base.z, weights6, weights7, weights8)
  EACH_PLANE(FINISH, 0)
}
