// The 1x1x1 classifier and argmax of one voxel; a logit is used at once and not stored.
//   logit[k] = bias[k] + sum over c of weight[k][c] * a[c];  label = lowest k with the largest logit
//   PROBABILITIES: p = softmax(logit) in 8 bits, floor(255 p + 1/2), for k = 1, 2, ...; at most 127 where the label is
//   another class, of two classes at least 128 where it is this one
// Result: r = label; with PROBABILITIES g, b, a = p of the classes `firstClass` and the two after it (0 where there is none);
// each / 255 for an RGBA8 target.
// Bindings: `classifierWeights` (RGBA32F, GROUPS + 1 wide, CLASSES high): row = class, texel g = its weights
// for channels 4g..4g+3 (zero-padded), last texel .x = bias.
// Dispatch: classify.frag.glsl. Defines: CLASSES, GROUPS (vec4 groups of activations), PROBABILITIES.
uniform highp sampler2D classifierWeights;
#if PROBABILITIES == 1
uniform int firstClass;
#endif

float logitOf(int c, vec4 activations[GROUPS]) {
  float logit = texelFetch(classifierWeights, ivec2(GROUPS, c), 0).x;
  for (int g = 0; g < GROUPS; g++) {
    logit += dot(texelFetch(classifierWeights, ivec2(g, c), 0), activations[g]);
  }
  return logit;
}

vec4 classify(vec4 activations[GROUPS]) {
  float best = 0.0;
#if PROBABILITIES == 1
  float sum = 0.0; // of exp(logit - best)
#endif
  int label = 0;
  for (int c = 0; c < CLASSES; c++) {
    float logit = logitOf(c, activations);
    if (c == 0 || logit > best) { // strictly: the lowest index wins a tie
#if PROBABILITIES == 1
      sum = (c == 0) ? 1.0 : sum * exp(best - logit) + 1.0;
#endif
      best = logit;
      label = c;
#if PROBABILITIES == 1
    } else {
      sum += exp(logit - best);
#endif
    }
  }
  vec4 result = vec4(float(label), 0.0, 0.0, 255.0);
#if PROBABILITIES == 1
  for (int i = 0; i < 3; i++) {
    int c = firstClass + i;
    float p = 0.0;
    if (c < CLASSES) p = floor(255.0 * exp(logitOf(c, activations) - best) / sum + 0.5);
    if (c != label) p = min(p, 127.0);
    else if (CLASSES == 2) p = max(p, 128.0);
    result[i + 1] = p;
  }
#endif
  return result / 255.0;
}
