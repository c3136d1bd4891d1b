// Per-channel norm, then activation, of one plane: out = activate((in - mean) * scale + shift).
// Writes another plane than it reads (a texture cannot be both); the host swaps the two afterwards.
// Bindings: `plane` (layer = group of four channels); `mean`, `scale`, `shift` per group.
// Dispatch: one triangle per plane and TARGETS groups from `firstGroup` on.
// Defines: GROUPS, TARGETS, ACTIVATION. Included before: storage.glsl.
uniform highp sampler2DArray plane;
uniform int firstGroup;
uniform vec4 mean[GROUPS];
uniform vec4 scale[GROUPS];
uniform vec4 shift[GROUPS];

layout(location = 0) out vec4 result[TARGETS];

vec4 normalized(int k) {
  int g = firstGroup + k;
  vec4 value = texelFetch(plane, ivec3(ivec2(gl_FragCoord.xy), g), 0);
  return STORED(activate((value - mean[g]) * scale[g] + shift[g]));
}

void main() {
  result[0] = normalized(0);
#if TARGETS > 1
  result[1] = normalized(1);
#endif
#if TARGETS > 2
  result[2] = normalized(2);
#endif
#if TARGETS > 3
  result[3] = normalized(3);
#endif
}
