// The 1x1x1 classifier and argmax of one voxel; a logit is used at once and not stored.
//   logit[k] = bias[k] + sum over c of weight[k][c] * a[c];  label = lowest k with the largest logit
//   margin   = round(255 (p1 - p2)), the two largest of p = softmax(logit), from a running sum
// Result: r = label, g = margin, both / 255 for an RGBA8 target.
// Bindings: `classifierWeights` (RGBA32F, GROUPS + 1 wide, CLASSES high): row = class, texel g = its weights
// for channels 4g..4g+3 (zero-padded), last texel .x = bias.
// Dispatch: classify.frag.glsl. Defines: CLASSES, GROUPS (vec4 groups of activations).
uniform highp sampler2D classifierWeights;

vec4 classify(vec4 activations[GROUPS]) {
  float best = 0.0;
  float second = 0.0;
  float sum = 0.0; // of exp(logit - best)
  int label = 0;
  for (int c = 0; c < CLASSES; c++) {
    float logit = texelFetch(classifierWeights, ivec2(GROUPS, c), 0).x;
    for (int g = 0; g < GROUPS; g++) {
      logit += dot(texelFetch(classifierWeights, ivec2(g, c), 0), activations[g]);
    }
    if (c == 0) {
      best = logit;
      sum = 1.0;
    } else if (logit > best) { // strictly: the lowest index wins a tie
      second = best;
      sum = sum * exp(best - logit) + 1.0;
      best = logit;
      label = c;
    } else {
      second = (c == 1) ? logit : max(second, logit);
      sum += exp(logit - best);
    }
  }
  float margin = (1.0 - exp(second - best)) / sum;
  return vec4(float(label), floor(255.0 * margin + 0.5), 0.0, 255.0) / 255.0;
}
