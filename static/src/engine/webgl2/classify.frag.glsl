// Labels, with PROBABILITIES also probabilities, of one plane from the last convolution's stored output:
//   a[c] = plane[c], or with RAW activate((plane[c] - mean[c]) * scale[c] + shift[c]);  result = classify(a), see classifier.glsl
// Bindings: `plane` (layer = group of four channels), `mean`, `scale`, `shift` (RAW), `classifierWeights`.
// Dispatch: one triangle per plane into one layer of an RGBA8 texture; with PROBABILITIES one per plane and three classes.
// Defines: GROUPS, CLASSES, RAW, ACTIVATION, PROBABILITIES.
uniform highp sampler2DArray plane;
#if RAW == 1
uniform vec4 mean[GROUPS];
uniform vec4 scale[GROUPS];
uniform vec4 shift[GROUPS];
#endif

layout(location = 0) out vec4 result;

void main() {
  vec4 activations[GROUPS];
  for (int g = 0; g < GROUPS; g++) {
    vec4 value = texelFetch(plane, ivec3(ivec2(gl_FragCoord.xy), g), 0);
#if RAW == 1
    value = activate((value - mean[g]) * scale[g] + shift[g]);
#endif
    activations[g] = value;
  }
  result = classify(activations);
}
