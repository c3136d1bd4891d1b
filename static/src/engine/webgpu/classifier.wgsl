// The 1×1×1 classifier and argmax of one voxel, and the write of its label byte.
//   logit[k] = bias[k] + Σ_c weight[k][c] · a[c];  label = lowest k with the largest logit
//   margin   = round(255 · (p₁ − p₂)), the two largest of p = softmax(logit), from a running sum: no logit is stored
// Bindings: classifier = [class][WIDTH + 1] f32, the bias last. labels = bytes in u32 words, zeroed before, one byte
// per voxel; with MARGIN the margins follow `margin_offset` bytes further on.
// Dispatch: the kernel's that calls `classify` (classify.wgsl, or a convolution with FUSE).
@group(1) @binding(0) var<storage, read> classifier: array<f32>;
@group(1) @binding(1) var<storage, read_write> labels: array<atomic<u32>>;
//#if LOGITS
// For inspection only: [plane][class][y][x].
@group(1) @binding(2) var<storage, read_write> logits: array<f32>;
//#end

fn classify(a: array<f32, $(WIDTH)>, byte: u32, logit_index: u32, logit_stride: u32, margin_offset: u32) {
  var best = 0.0;
  var second = 0.0;
  var sum = 0.0;
  var label = 0u;
  for (var k = 0u; k < $(CLASSES)u; k++) {
    let row = k * $(WIDTH + 1)u;
    var logit = classifier[row + $(WIDTH)u];
//#for c in WIDTH
    logit = fma(classifier[row + $(c)u], a[$(c)], logit);
//#end
//#if LOGITS
    logits[logit_index + k * logit_stride] = logit;
//#end
    if (k == 0u) {
      best = logit;
      second = -3.0e38;
      sum = 1.0;
    } else if (logit > best) {
      sum = sum * exp(best - logit) + 1.0;
      second = best;
      best = logit;
      label = k;
    } else {
      sum += exp(logit - best);
      second = max(second, logit);
    }
  }
  atomicOr(&labels[byte >> 2u], label << ((byte & 3u) * 8u));
//#if MARGIN
  let margin = u32(round(255.0 * clamp((1.0 - exp(second - best)) / sum, 0.0, 1.0)));
  let at = byte + margin_offset;
  atomicOr(&labels[at >> 2u], margin << ((at & 3u) * 8u));
//#end
}
