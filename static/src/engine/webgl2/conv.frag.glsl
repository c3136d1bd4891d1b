// One dilated 3x3x3 layer on PLANES z-planes spaced by the dilation, for GROUPS x 4 output channels:
//
//   out[o](x, y, z) = activate(bias[o] + sum over i, kx, ky, kz of
//                     weight[o][i][kx][ky][kz] * in[i](x + (kx-1) d, y + (ky-1) d, z + (kz-1) d))
//
// A fragment is one (x, y) in all of z, z + d, z + 2d, ...: PLANES + 2 texels then serve 3 * PLANES taps, and a weight
// is read once for PLANES voxels. Sums are named sum_plane_group, so that every driver keeps them in registers; the
// last group of a channel count that is no multiple of four is a float/vec2/vec3 (tail_plane), not padded.
//
// Bindings: window_0 ... window_(PLANES+1) = the input planes z - d, z, z + d, ... (layer = group of four channels; a
// plane of zeros outside the volume). weights [group][ky][kx][in][kz], vec4 over the group's channels: a uniform block per
// group, which fits the 16 KiB that every device has up to 37 channels, or with TEXELS a texture of rows (group, ky, kx). bias[group].
// Dispatch: one triangle; render target plane * GROUPS + group. Included before: storage.glsl.
// Defines: IN_CHANNELS, IN_FULL = IN_CHANNELS / 4, IN_TAIL = IN_CHANNELS % 4, FULL and TAIL likewise of the output channels of
// this pass, GROUPS, PLANES, TEXELS, ACTIVATION. Lines of //# are carried out by expand.ts.

#if TAIL == 1
#define TAIL_TYPE float
#define TAIL_OF(v) (v).x
#define TAIL_PAD(t) vec4(t, 0.0, 0.0, 0.0)
#elif TAIL == 2
#define TAIL_TYPE vec2
#define TAIL_OF(v) (v).xy
#define TAIL_PAD(t) vec4(t, 0.0, 0.0)
#elif TAIL == 3
#define TAIL_TYPE vec3
#define TAIL_OF(v) (v).xyz
#define TAIL_PAD(t) vec4(t, 0.0)
#endif

//#for k in PLANES + 2
uniform highp sampler2DArray window_$(k);
//#end
uniform ivec2 size;
uniform int dilation;
uniform int taps; // 9; no constant, because Direct3D's compiler unrolls short loops and then takes long
uniform vec4 bias[GROUPS];

// WEIGHT_g(n): weight n of the tap for output group g.
//#if TEXELS
uniform highp sampler2D weights;
//#end
//#for g in GROUPS
//#if TEXELS
#define WEIGHT_$(g)(n) texelFetch(weights, ivec2(n, $(9 * g) + tap), 0)
//#else
layout(std140) uniform Weights_$(g) { vec4 weights_$(g)[27 * IN_CHANNELS]; };
#define WEIGHT_$(g)(n) weights_$(g)[tap * 3 * IN_CHANNELS + (n)]
//#end
//#end

layout(location = 0) out vec4 result[PLANES * GROUPS];

void main() {
  ivec2 voxel = ivec2(gl_FragCoord.xy);
//#for t in PLANES
//#for g in FULL
  vec4 sum_$(t)_$(g) = bias[$(g)];
//#end
//#if TAIL
  TAIL_TYPE tail_$(t) = TAIL_OF(bias[FULL]);
//#end
//#end

  for (int tap = 0; tap < taps; tap++) {
    // A texel outside the plane is read at the nearest inside and counts zero.
    ivec2 wanted = voxel + ivec2(tap % 3 - 1, tap / 3 - 1) * dilation;
    ivec2 at = clamp(wanted, ivec2(0), size - 1);
    float inside = (at == wanted) ? 1.0 : 0.0;
    int first = 0;
//#if IN_FULL
    for (int group = 0; group < IN_FULL; group++) {
//#for k in PLANES + 2
      vec4 v_$(k) = inside * texelFetch(window_$(k), ivec3(at, group), 0);
//#end
//#for c in 4
//#for kz in 3
//#for g in FULL
      { vec4 w = WEIGHT_$(g)(first + $(c * 3 + kz));
//#for t in PLANES
        sum_$(t)_$(g) += w * v_$(t + kz)[$(c)];
//#end
      }
//#end
//#if TAIL
      { TAIL_TYPE w = TAIL_OF(WEIGHT_$(FULL)(first + $(c * 3 + kz)));
//#for t in PLANES
        tail_$(t) += w * v_$(t + kz)[$(c)];
//#end
      }
//#end
//#end
//#end
      first += 12;
    }
//#end
//#if IN_TAIL
    {
//#for k in PLANES + 2
      vec4 v_$(k) = inside * texelFetch(window_$(k), ivec3(at, IN_FULL), 0);
//#end
//#for c in IN_TAIL
//#for kz in 3
//#for g in FULL
      { vec4 w = WEIGHT_$(g)(first + $(c * 3 + kz));
//#for t in PLANES
        sum_$(t)_$(g) += w * v_$(t + kz)[$(c)];
//#end
      }
//#end
//#if TAIL
      { TAIL_TYPE w = TAIL_OF(WEIGHT_$(FULL)(first + $(c * 3 + kz)));
//#for t in PLANES
        tail_$(t) += w * v_$(t + kz)[$(c)];
//#end
      }
//#end
//#end
//#end
    }
//#end
  }

//#for t in PLANES
//#for g in FULL
  result[$(t * GROUPS + g)] = STORED(activate(sum_$(t)_$(g)));
//#end
//#if TAIL
  result[$(t * GROUPS + FULL)] = STORED(activate(TAIL_PAD(tail_$(t))));
//#end
//#end
}
