// The 1×1×1 classifier and argmax of one voxel, and the write of its label byte.
//   logit[k] = bias[k] + Σ_c weight[k][c] · a[c];  label = lowest k with the largest logit
//   PROBABILITIES: p = softmax(logit) in 8 bits, ⌊255 p + ½⌋, for k = 1, 2, …; at most 127 where the label is another
//   class, of two classes at least 128 where it is this one. Logits are computed again for it, so that none is stored.
// Bindings: classifier = [class][WIDTH + 1] f32, the bias last. labels = bytes in u32 words, zeroed before, one byte
// per voxel; with PROBABILITIES, that of class k lies k · `class_stride` bytes behind the label.
// Dispatch: the kernel's that calls `classify` (classify.wgsl, or a convolution with FUSE).
@group(1) @binding(0) var<storage, read> classifier: array<f32>;
@group(1) @binding(1) var<storage, read_write> labels: array<atomic<u32>>;
//#if LOGITS
// For inspection only: [plane][class][y][x].
@group(1) @binding(2) var<storage, read_write> logits: array<f32>;
//#end

fn write_byte(at: u32, value: u32) {
  atomicOr(&labels[at >> 2u], value << ((at & 3u) * 8u));
}

fn classify(a: array<f32, $(WIDTH)>, byte: u32, logit_index: u32, logit_stride: u32, class_stride: u32) {
  var best = 0.0;
  var label = 0u;
//#if PROBABILITIES
  var sum = 0.0;
//#end
  for (var k = 0u; k < $(CLASSES)u; k++) {
    let row = k * $(WIDTH + 1)u;
    var logit = classifier[row + $(WIDTH)u];
//#for c in WIDTH
    logit = fma(classifier[row + $(c)u], a[$(c)], logit);
//#end
//#if LOGITS
    logits[logit_index + k * logit_stride] = logit;
//#end
    if (k == 0u || logit > best) {
//#if PROBABILITIES
      sum = select(sum * exp(best - logit), 0.0, k == 0u) + 1.0;
//#end
      best = logit;
      label = k;
//#if PROBABILITIES
    } else {
      sum += exp(logit - best);
//#end
    }
  }
  write_byte(byte, label);
//#if PROBABILITIES
  for (var k = 1u; k < $(CLASSES)u; k++) {
    let row = k * $(WIDTH + 1)u;
    var logit = classifier[row + $(WIDTH)u];
//#for c in WIDTH
    logit = fma(classifier[row + $(c)u], a[$(c)], logit);
//#end
    var p = min(u32(255.0 * (exp(logit - best) / sum) + 0.5), 255u);
    if (k != label) { p = min(p, 127u); }
//#if CLASSES == 2
    if (k == label) { p = max(p, 128u); }
//#end
    write_byte(byte + k * class_stride, p);
  }
//#end
}
