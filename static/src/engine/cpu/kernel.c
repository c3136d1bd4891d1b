// MeshNet's layers on 128-bit SIMD: one dilated 3×3×3 convolution at a time, in place.
//
// A layer walks the planes in residue order (z mod dilation, then z), so that plane z's neighbours z − d and z + d
// are the entries before and after it. `stage` reads an input row, applies the previous layer's norm and activation
// where that is still to do, pads it with zeros, and writes it transformed into a ring of a few planes; from then on
// the volume's own copy isn't needed, and the output plane overwrites the input plane: the peak is one activation
// volume plus the ring.
//
//   Winograd F(4,3) along x, on outputs x, x+d, x+2d, x+3d (a tile of one residue class): points 0, ±√½, ±√2, ∞, whose
//   products and sums are 1 and 5/2, so the transforms are short and well conditioned. Six products replace twelve.
//   output[o] = Aᵀ Σ_(c,kz,ky) (G w[o][c][:][ky][kz]) ∘ (Bᵀ input[c])
//   direct: the same multiplication with one point and the taps along x as further terms.
//
// Layouts (float32 unless said): volume [z][channel][y][x], planes `planeStride` apart, rows dense. Ring: per plane
// [unit][row in residue order][channel][8], units `unitStride` apart; a unit is one Winograd point of 8 tiles. Direct:
// one unit, [row in residue order][channel][rowLength] with `dilation` zeros in front. Rows y − d, y, y + d are then
// neighbours, and all their channels one run of memory: the sum over them is one loop.
// Weights: Winograd [output block][point][kz][ky][channel][output in block], direct [output block][kz][kx][ky][channel][…].
// Tiles: index q · d + r covers outputs x = 4dq + r + {0, d, 2d, 3d}.
#include "math.h"

#define EXPORT(name) __attribute__((export_name(#name)))
#define A_POINT 0.707106781f  /* the point √½ */
#define B_POINT 1.414213562f  /* the point √2 */

/** One layer. Mirrored by job.ts; all members 4 bytes wide. */
typedef struct {
  int nx, ny, nz;
  int inChannels, outChannels;
  int dilation;
  int points;           // 6: Winograd; 1: direct
  int tiles;            // per row, a multiple of 8; direct: outputs per row, likewise
  int rowLength;        // floats of one staged row and channel of one unit: 8, or the padded row
  int unitStride;       // floats
  int ringPlanes;
  int ringStride;       // floats from plane to plane of the ring
  int planesPerStep;
  int maxBlock;         // output channels held in registers at once, at most
  unsigned planeStride; // floats
  float *volume;
  float *ring;
  const int *zOrder;    // [nz] planes in residue order
  const int *yOrder;    // [ny] rows in residue order
  const float *weights;
  const float *bias;    // [outChannels]
  int activation;       // applied to the output
  const float *inScale; // [inChannels] then inShift [inChannels], or null: the previous layer's norm
  int inActivation;     // applied after inScale
  double *statistics;   // [z][block][outChannels][2] mean and sum of squared deviations, or null
  float *outScale;      // [outChannels] then shift: what `merge` computes
  const float *normWeight, *normBias;  // [outChannels] or null
  float eps;
  int classes;          // 0: store activations; otherwise classify instead
  const float *classWeights, *classBias;
  uint8_t *labels;      // [z][y][x]
  uint8_t *margin;      // the same, or null
  float *logits;        // [class][z][y][x], or null
  int lineLength;       // floats of one scratch line: a row with room for whole tiles on both sides
} Job;
_Static_assert(sizeof(Job) == 36 * 4, "job.ts mirrors every member");

static inline float *plane_of(const Job *j, int z) { return j->volume + (size_t)z * j->planeStride; }

static inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

/** Copies n floats, with `scale`·x + `shift` and the activation where the producer left them to do. */
static void load_row(float *to, const float *from, int n, const float *scale, const float *shift, int activation) {
  if (scale == NULL) {
    __builtin_memcpy(to, from, (size_t)n * 4);
    return;
  }
  f4 a = splat(*scale), b = splat(*shift);
  int x = 0;
  for (; x + 4 <= n; x += 4) wasm_v128_store(to + x, activate(madd(wasm_v128_load(from + x), a, b), activation));
  for (; x < n; x++) to[x] = wasm_f32x4_extract_lane(activate(madd(splat(from[x]), a, b), activation), 0);
}

// ---- staging: rows → the ring -------------------------------------------------------------------------------------

/** Bᵀ of six inputs, stored `pointStride` floats apart. */
static inline void transform_input(const f4 v[6], float *to, size_t pointStride) {
  f4 ends = splat(-2.5f);
  f4 evenA = madd(v[2], splat(-2.0f), v[4]), evenB = madd(v[2], splat(-0.5f), v[4]);
  f4 oddA = wasm_f32x4_mul(madd(v[1], splat(-2.0f), v[3]), splat(A_POINT));
  f4 oddB = wasm_f32x4_mul(madd(v[1], splat(-0.5f), v[3]), splat(B_POINT));
  wasm_v128_store(to, wasm_f32x4_add(madd(v[2], ends, v[0]), v[4]));
  wasm_v128_store(to + pointStride, wasm_f32x4_add(evenA, oddA));
  wasm_v128_store(to + 2 * pointStride, wasm_f32x4_sub(evenA, oddA));
  wasm_v128_store(to + 3 * pointStride, wasm_f32x4_add(evenB, oddB));
  wasm_v128_store(to + 4 * pointStride, wasm_f32x4_sub(evenB, oddB));
  wasm_v128_store(to + 5 * pointStride, wasm_f32x4_add(madd(v[3], ends, v[1]), v[5]));
}

static inline void transpose(f4 v[4]) {
  f4 a = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5);
  f4 c = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7), d = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
  v[0] = wasm_i64x2_shuffle(a, b, 0, 2);
  v[1] = wasm_i64x2_shuffle(a, b, 1, 3);
  v[2] = wasm_i64x2_shuffle(c, d, 0, 2);
  v[3] = wasm_i64x2_shuffle(c, d, 1, 3);
}

static inline void load_transposed(const float *from, f4 v[4]) {
  for (int i = 0; i < 4; i++) v[i] = wasm_v128_load(from + 4 * i);
  transpose(v);
}

/** All tiles of one padded row (line[0] is x = 0) into the staged row `to`. */
static void stage_tiles(const Job *j, const float *line, float *to) {
  const int d = j->dilation;
  const size_t pointStride = (size_t)j->unitStride, blockStride = 6 * pointStride;
  f4 v[6], next[4];
  if (d == 1) load_transposed(line - 1, next);
  for (int t = 0; t < j->tiles; t += 4) {
    if (d == 1) {
      for (int i = 0; i < 4; i++) v[i] = next[i];
      load_transposed(line + 4 * t + 15, next);
      v[4] = wasm_i32x4_shuffle(v[0], next[0], 1, 2, 3, 4);
      v[5] = wasm_i32x4_shuffle(v[1], next[1], 1, 2, 3, 4);
    } else if (d == 2) {
      const float *from = line + 4 * t - 2;
      for (int i = 0; i < 6; i++) v[i] = wasm_v128_load64_lane(from + 2 * i + 8, wasm_v128_load64_zero(from + 2 * i), 1);
    } else {
      const float *from = line + t + 3 * (t / d) * d - d;
      for (int i = 0; i < 6; i++) v[i] = wasm_v128_load(from + i * d);
    }
    transform_input(v, to + (size_t)(t >> 3) * blockStride + (t & 4), pointStride);
  }
}

static void clear(float *to, int n) { __builtin_memset(to, 0, (size_t)n * 4); }

/** Rows [first, last) in residue order of entry `index` of the planes' order, all channels. */
static void stage_rows(const Job *j, int index, int first, int last, float *scratch) {
  const int d = j->dilation, channels = j->inChannels, length = j->rowLength;
  const float *plane = plane_of(j, j->zOrder[index]);
  float *ring = j->ring + (size_t)(index % j->ringPlanes) * j->ringStride;
  float *line = scratch + ((d + 3) & ~3);
  if (j->points == 6) clear(scratch, j->lineLength);
  for (int i = first; i < last; i++) {
    for (int c = 0; c < channels; c++) {
      const float *from = plane + ((size_t)c * j->ny + j->yOrder[i]) * j->nx;
      const float *scale = j->inScale ? j->inScale + c : NULL;
      float *to = ring + ((size_t)i * channels + c) * length;
      if (j->points == 6) {
        load_row(line, from, j->nx, scale, scale + channels, j->inActivation);
        stage_tiles(j, line, to);
      } else {
        clear(to, d);
        load_row(to + d, from, j->nx, scale, scale + channels, j->inActivation);
        clear(to + d + j->nx, length - d - j->nx);
      }
    }
  }
}

// ---- the multiplication -------------------------------------------------------------------------------------------

#define MAX_ROWS 8

/** What the sums of up to MAX_ROWS output rows, neighbours in residue order, run over. */
typedef struct {
  const float *input[9];  // per term: staged row y − d of the first row; Winograd: one term per kz, direct: per kz and kx
  int weights[9];         // per term: which of the terms' weights
  int count;
  int skip[MAX_ROWS];     // per row: 1 where y − d is outside, so that its sum starts at y
  int taps[MAX_ROWS];     // per row: how many of y − d, y, y + d are inside
  int rows;
} Terms;

/** Keeps the compiler from loading all weights first: with few vector registers that spills accumulators. */
#define IN_THIS_ORDER(a, b) __asm__ volatile("" : "+r"(a), "+r"(b)::"memory")

/**
 * 8 values of N output channels in every row: out[row][n][lane] = Σ_terms Σ_k w[term][k][n] · input[term][row][k][from + lane],
 * k over the rows y − d, y, y + d and their channels. The accumulators stay in registers over the whole sum.
 */
#define DEFINE_MULTIPLY(N)                                                                                            \
  static void multiply_##N(const Terms *terms, int channels, size_t from, size_t length, const float *weights,        \
                           float *out, size_t outStride, size_t outRowStride) {                                       \
    for (int row = 0; row < terms->rows; row++, from += length * channels, out += outRowStride) {                     \
      f4 lo[N], hi[N];                                                                                                \
      for (size_t n = 0; n < N; n++) lo[n] = hi[n] = splat(0.0f);                                                     \
      const size_t skip = (size_t)terms->skip[row] * channels, sum = (size_t)terms->taps[row] * channels;             \
      for (int t = 0; t < terms->count; t++) {                                                                        \
        const float *u = terms->input[t] + from + skip * length;                                                      \
        const float *w = weights + ((size_t)terms->weights[t] * 3 * channels + skip) * N;                             \
        const float *end = w + sum * N;                                                                               \
        do {                                                                                                          \
          f4 u0 = wasm_v128_load(u), u1 = wasm_v128_load(u + 4);                                                      \
          for (size_t n = 0; n < N; n++) {                                                                            \
            f4 s = wasm_v128_load32_splat(w + n);                                                                     \
            lo[n] = madd(s, u0, lo[n]);                                                                               \
            hi[n] = madd(s, u1, hi[n]);                                                                               \
            IN_THIS_ORDER(lo[n], hi[n]);                                                                              \
          }                                                                                                           \
          u += length;                                                                                                \
          w += N;                                                                                                     \
        } while (w != end);                                                                                           \
      }                                                                                                               \
      for (size_t n = 0; n < N; n++) {                                                                                \
        wasm_v128_store(out + n * outStride, lo[n]);                                                                  \
        wasm_v128_store(out + n * outStride + 4, hi[n]);                                                              \
      }                                                                                                               \
    }                                                                                                                 \
  }
DEFINE_MULTIPLY(1)
DEFINE_MULTIPLY(2)
DEFINE_MULTIPLY(3)
DEFINE_MULTIPLY(4)
DEFINE_MULTIPLY(5)
DEFINE_MULTIPLY(6)

/**
 * The register blocks: `outputs` channels, as equal as possible, at most maxBlock each (weights.ts packs them so).
 * `sum` is the length of the whole sum, the weights' own stride.
 */
static void multiply(int outputs, int maxBlock, const Terms *terms, int channels, int sum, int points, int point, size_t from,
                     size_t length, const float *weights, float *out, size_t outStride, size_t outRowStride) {
  const int blocks = ceil_div(outputs, maxBlock);
  for (int b = 0, o = 0; b < blocks; b++) {
    const int n = outputs / blocks + (b < outputs % blocks);
    const float *w = weights + ((size_t)o * points + (size_t)point * n) * sum;
    float *to = out + o * outStride;
    switch (n) {
      case 1: multiply_1(terms, channels, from, length, w, to, outStride, outRowStride); break;
      case 2: multiply_2(terms, channels, from, length, w, to, outStride, outRowStride); break;
      case 3: multiply_3(terms, channels, from, length, w, to, outStride, outRowStride); break;
      case 4: multiply_4(terms, channels, from, length, w, to, outStride, outRowStride); break;
      case 5: multiply_5(terms, channels, from, length, w, to, outStride, outRowStride); break;
      default: multiply_6(terms, channels, from, length, w, to, outStride, outRowStride);
    }
    o += n;
  }
}

/** Terms of output rows [first, last) of the residue order; what lies outside the volume is left out: it is zero. */
static void collect_terms(const Job *j, int index, int first, int last, Terms *terms) {
  const int d = j->dilation, z = j->zOrder[index], rowFloats = j->inChannels * j->rowLength;
  const int across = j->points == 6 ? 1 : 3;
  terms->count = 0;
  for (int kz = -1; kz <= 1; kz++) {
    if (z + kz * d < 0 || z + kz * d >= j->nz) continue;
    const float *plane = j->ring + (size_t)((index + kz) % j->ringPlanes) * j->ringStride;
    for (int kx = 0; kx < across; kx++) {
      terms->input[terms->count] = plane + (first - 1) * rowFloats + kx * d;
      terms->weights[terms->count++] = (kz + 1) * across + kx;
    }
  }
  terms->rows = last - first;
  for (int row = 0; row < terms->rows; row++) {
    const int y = j->yOrder[first + row];
    terms->skip[row] = y < d;
    terms->taps[row] = 1 + (y >= d) + (y + d < j->ny);
  }
}

// ---- what follows the multiplication ------------------------------------------------------------------------------

/** Aᵀ, bias and activation of one channel's products [point][8] of tiles `first`… → their places in a line of outputs. */
static inline __attribute__((always_inline)) void finish_tiles(const Job *j, const float *products, int first, float bias,
                                                               float *line, const int activation) {
  const int d = j->dilation;
  const f4 start = splat(bias);
  for (int t = first; t < first + 8; t += 4) {
    const float *m = products + t - first;
    f4 m1 = wasm_v128_load(m + 8), m2 = wasm_v128_load(m + 16), m3 = wasm_v128_load(m + 24), m4 = wasm_v128_load(m + 32);
    f4 sumA = wasm_f32x4_add(m1, m2), sumB = wasm_f32x4_add(m3, m4);
    f4 difA = wasm_f32x4_mul(wasm_f32x4_sub(m1, m2), splat(A_POINT)), difB = wasm_f32x4_mul(wasm_f32x4_sub(m3, m4), splat(B_POINT));
    f4 v[4];
    v[0] = wasm_f32x4_add(wasm_f32x4_add(wasm_v128_load(m), start), wasm_f32x4_add(sumA, sumB));
    v[1] = wasm_f32x4_add(wasm_f32x4_add(difA, difB), start);
    v[2] = wasm_f32x4_add(madd(sumA, splat(0.5f), start), wasm_f32x4_add(sumB, sumB));
    v[3] = wasm_f32x4_add(wasm_f32x4_add(wasm_v128_load(m + 40), start), madd(difA, splat(0.5f), wasm_f32x4_add(difB, difB)));
    for (int i = 0; i < 4; i++) v[i] = activate(v[i], activation);
    if (d == 1) {
      transpose(v);
      for (int i = 0; i < 4; i++) wasm_v128_store(line + 4 * t + 4 * i, v[i]);
    } else if (d == 2) {
      for (int i = 0; i < 4; i++) {
        wasm_v128_store64_lane(line + 4 * t + 2 * i, v[i], 0);
        wasm_v128_store64_lane(line + 4 * t + 2 * i + 8, v[i], 1);
      }
    } else {
      float *to = line + t + 3 * (t / d) * d;
      for (int i = 0; i < 4; i++) wasm_v128_store(to + i * d, v[i]);
    }
  }
}

static inline __attribute__((always_inline)) void finish_any(const Job *j, const float *products, int first, float bias,
                                                             float *line, const int activation) {
  if (j->points == 6) {
    finish_tiles(j, products, first, bias, line, activation);
    return;
  }
  for (int i = 0; i < 8; i += 4) {
    wasm_v128_store(line + first + i, activate(wasm_f32x4_add(wasm_v128_load(products + i), splat(bias)), activation));
  }
}

/** One body per activation, so that the loops carry no branch. */
static void finish(const Job *j, const float *products, int first, float bias, float *line) {
  switch (j->activation) {
    case RELU: finish_any(j, products, first, bias, line, RELU); break;
    case ELU: finish_any(j, products, first, bias, line, ELU); break;
    case GELU: finish_any(j, products, first, bias, line, GELU); break;
    case GELU_TANH: finish_any(j, products, first, bias, line, GELU_TANH); break;
    default: finish_any(j, products, first, bias, line, NONE);
  }
}

/** Mean and sum of squared deviations of a growing set: (mean, m2, n) ∪ (mean, m2, n), after Chan et al. 1979. */
static void combine(double *into, double n, const double *add, double m) {
  const double delta = add[0] - into[0], share = m / (n + m);
  into[1] += add[1] + delta * delta * n * share;
  into[0] += delta * share;
}

/** Mean and sum of squared deviations of one row, in two passes: no cancellation where the mean is large. */
static void row_statistics(const float *line, int n, double out[2]) {
  f4 lo = wasm_f64x2_splat(0), hi = lo;
  int x = 0;
  for (; x + 4 <= n; x += 4) {
    f4 v = wasm_v128_load(line + x);
    lo = wasm_f64x2_add(lo, wasm_f64x2_promote_low_f32x4(v));
    hi = wasm_f64x2_add(hi, wasm_f64x2_promote_low_f32x4(wasm_i64x2_shuffle(v, v, 1, 0)));
  }
  lo = wasm_f64x2_add(lo, hi);
  double sum = wasm_f64x2_extract_lane(lo, 0) + wasm_f64x2_extract_lane(lo, 1);
  for (int i = x; i < n; i++) sum += line[i];
  const double mean = sum / n;
  const f4 center = splat((float)mean);
  f4 squares = splat(0);
  for (x = 0; x + 4 <= n; x += 4) {
    f4 v = wasm_f32x4_sub(wasm_v128_load(line + x), center);
    squares = madd(v, v, squares);
  }
  double m2 = 0;
  for (int i = 0; i < 4; i++) m2 += ((float *)&squares)[i];
  for (; x < n; x++) m2 += (line[x] - mean) * (line[x] - mean);
  out[0] = mean;
  out[1] = m2;
}

/** round(255 · (p₁ − p₂)) of the two largest softmax probabilities. */
static inline int margin_of(const float *logits, int classes, size_t stride, float best, float second) {
  f4 sum = splat(0);
  for (int c = 0; c < classes; c += 4) {
    f4 v = splat(-1e30f);
    v = wasm_f32x4_replace_lane(v, 0, logits[c * stride]);
    if (c + 1 < classes) v = wasm_f32x4_replace_lane(v, 1, logits[(c + 1) * stride]);
    if (c + 2 < classes) v = wasm_f32x4_replace_lane(v, 2, logits[(c + 2) * stride]);
    if (c + 3 < classes) v = wasm_f32x4_replace_lane(v, 3, logits[(c + 3) * stride]);
    sum = wasm_f32x4_add(sum, exp_4(wasm_f32x4_sub(v, splat(best))));
  }
  const float total = wasm_f32x4_extract_lane(sum, 0) + wasm_f32x4_extract_lane(sum, 1) + wasm_f32x4_extract_lane(sum, 2) +
                      wasm_f32x4_extract_lane(sum, 3);
  const float gap = -wasm_f32x4_extract_lane(expm1_4(splat(second - best)), 0);
  return (int)(255.0f * gap / total + 0.5f);
}

/** Classifier, argmax (the lowest index wins a tie) and margin of one row; lines: [outChannels][lineLength]. */
static void classify_row(const Job *j, const float *lines, float *logits, int z, int y) {
  const int n = (j->nx + 7) & ~7, classes = j->classes;
  const Terms terms = {.input = {lines}, .weights = {0}, .count = 1, .skip = {0}, .taps = {1}, .rows = 1};
  for (int x = 0; x < n; x += 8) {
    multiply(classes, j->maxBlock, &terms, j->outChannels, j->outChannels, 1, 0, x, j->lineLength, j->classWeights, logits + x, n, 0);
  }
  for (int c = 0; c < classes; c++) {
    const f4 bias = splat(j->classBias[c]);
    for (int x = 0; x < n; x += 4) wasm_v128_store(logits + c * n + x, wasm_f32x4_add(wasm_v128_load(logits + c * n + x), bias));
  }
  const size_t at = ((size_t)z * j->ny + y) * j->nx;
  for (int x = 0; x < j->nx; x += 4) {
    f4 best = wasm_v128_load(logits + x), second = splat(-3.0e38f), index = wasm_i32x4_splat(0);
    for (int c = 1; c < classes; c++) {
      const f4 v = wasm_v128_load(logits + c * n + x), greater = wasm_f32x4_gt(v, best);
      second = wasm_f32x4_max(second, wasm_v128_bitselect(best, v, greater));
      best = wasm_v128_bitselect(v, best, greater);
      index = wasm_v128_bitselect(wasm_i32x4_splat(c), index, greater);
    }
    for (int i = 0; i < 4 && x + i < j->nx; i++) {
      j->labels[at + x + i] = (uint8_t)((int *)&index)[i];
      if (j->margin) j->margin[at + x + i] = (uint8_t)margin_of(logits + x + i, classes, n, ((float *)&best)[i], ((float *)&second)[i]);
    }
  }
  if (j->logits) {
    const size_t voxels = (size_t)j->nx * j->ny * j->nz;
    for (int c = 0; c < classes; c++) __builtin_memcpy(j->logits + c * voxels + at, logits + c * n, (size_t)j->nx * 4);
  }
}

// ---- what a thread calls: one item of one step --------------------------------------------------------------------
// scratch: line [lineLength], products [MAX_ROWS][outChannels][points][8], lines [MAX_ROWS][outChannels][lineLength],
// logits [classes][nx up to 8]

static float *scratch_products(const Job *j, float *scratch) { return scratch + j->lineLength; }
static float *scratch_lines(const Job *j, float *scratch) {
  return scratch_products(j, scratch) + (size_t)MAX_ROWS * j->outChannels * j->points * 8;
}
static float *scratch_logits(const Job *j, float *scratch) {
  return scratch_lines(j, scratch) + (size_t)MAX_ROWS * j->outChannels * j->lineLength;
}

/** Output rows [first, last) in residue order of entry `index` into lines [row][channel]. */
static void convolve_lines(const Job *j, int index, int first, int last, float *products, float *lines) {
  const int channels = j->inChannels, outputs = j->outChannels, points = j->points;
  const size_t perOutput = (size_t)points * 8;
  Terms terms;
  collect_terms(j, index, first, last, &terms);
  for (int t = 0; t < j->tiles; t += 8) {
    for (int p = 0; p < points; p++) {
      const size_t from = points == 6 ? (size_t)(t / 8 * 6 + p) * j->unitStride : (size_t)t;
      multiply(outputs, j->maxBlock, &terms, channels, (points == 6 ? 9 : 27) * channels, points, p, from, j->rowLength, j->weights,
               products + p * 8, perOutput, outputs * perOutput);
    }
    for (int row = 0; row < last - first; row++) {
      for (int o = 0; o < outputs; o++) {
        const size_t at = (size_t)row * outputs + o;
        finish(j, products + at * perOutput, t, j->bias[o], lines + at * j->lineLength);
      }
    }
  }
}

static void convolve_rows(const Job *j, int index, int block, float *scratch) {
  const int z = j->zOrder[index], first = block * MAX_ROWS, outputs = j->outChannels;
  const int last = first + MAX_ROWS < j->ny ? first + MAX_ROWS : j->ny;
  float *lines = scratch_lines(j, scratch);
  double *statistics = j->statistics ? j->statistics + ((size_t)z * ceil_div(j->ny, MAX_ROWS) + block) * outputs * 2 : NULL;
  convolve_lines(j, index, first, last, scratch_products(j, scratch), lines);
  for (int i = first; i < last; i++, lines += (size_t)outputs * j->lineLength) {
    const int y = j->yOrder[i];
    if (j->classes) {
      classify_row(j, lines, scratch_logits(j, scratch), z, y);
      continue;
    }
    for (int o = 0; o < outputs; o++) {
      const float *line = lines + (size_t)o * j->lineLength;
      __builtin_memcpy(plane_of(j, z) + ((size_t)o * j->ny + y) * j->nx, line, (size_t)j->nx * 4);
      if (statistics == NULL) continue;
      double row[2];
      row_statistics(line, j->nx, row);
      if (i == first) statistics[2 * o] = row[0], statistics[2 * o + 1] = row[1];
      else combine(statistics + 2 * o, (double)j->nx * (i - first), row, j->nx);
    }
  }
}

/**
 * Item `item` of step `step` of a convolution. Step s stages entries [sB, sB+B) of the plane order and computes
 * [(s−1)B − 1, sB − 1), whose neighbours earlier steps have staged; items of a step are independent.
 */
EXPORT(convolve) void convolve(const Job *j, int step, int item, float *scratch) {
  const int B = j->planesPerStep, perPlane = ceil_div(j->ny, MAX_ROWS);
  const int block = item % perPlane, k = item / perPlane;
  if (k < B) {
    const int index = (step - 1) * B - 1 + k;
    if (index >= 0 && index < j->nz) convolve_rows(j, index, block, scratch);
  } else {
    const int index = step * B + k - B, first = block * MAX_ROWS;
    if (index < j->nz) stage_rows(j, index, first, first + MAX_ROWS < j->ny ? first + MAX_ROWS : j->ny, scratch);
  }
}

/** Items' statistics → per-channel scale and shift of the norm: x · scale + shift. Item = channel. */
EXPORT(merge) void merge(const Job *j, int step, int channel, float *scratch) {
  (void)step, (void)scratch;
  const int blocks = ceil_div(j->ny, MAX_ROWS);
  double total[2] = {0, 0}, n = 0;
  for (int z = 0; z < j->nz; z++) {
    for (int b = 0; b < blocks; b++) {
      const int rows = b + 1 < blocks ? MAX_ROWS : j->ny - b * MAX_ROWS;
      combine(total, n, j->statistics + (((size_t)z * blocks + b) * j->outChannels + channel) * 2, (double)rows * j->nx);
      n += (double)rows * j->nx;
    }
  }
  const double scale = (j->normWeight ? j->normWeight[channel] : 1.0) / __builtin_sqrt(total[1] / n + j->eps);
  j->outScale[channel] = (float)scale;
  j->outScale[j->outChannels + channel] = (float)((j->normBias ? j->normBias[channel] : 0.0) - total[0] * scale);
}

/** Norm and activation in place, for `inspect`. Item = row block; step = plane. */
EXPORT(normalize) void normalize(const Job *j, int z, int block, float *scratch) {
  (void)scratch;
  const int first = block * MAX_ROWS, last = first + MAX_ROWS < j->ny ? first + MAX_ROWS : j->ny;
  for (int c = 0; c < j->inChannels; c++) {
    float *row = plane_of(j, z) + ((size_t)c * j->ny + first) * j->nx;
    load_row(row, row, (last - first) * j->nx, j->inScale + c, j->inScale + j->inChannels + c, j->inActivation);
  }
}

/** Classifier and argmax of stored activations, with the norm and activation still to do. Item = row block; step = plane. */
EXPORT(classify) void classify(const Job *j, int z, int block, float *scratch) {
  const int first = block * MAX_ROWS, last = first + MAX_ROWS < j->ny ? first + MAX_ROWS : j->ny;
  float *lines = scratch_lines(j, scratch);
  for (int y = first; y < last; y++) {
    for (int c = 0; c < j->inChannels; c++) {
      const float *scale = j->inScale ? j->inScale + c : NULL;
      load_row(lines + (size_t)c * j->lineLength, plane_of(j, z) + ((size_t)c * j->ny + y) * j->nx, j->nx, scale,
               scale + j->inChannels, j->inActivation);
    }
    classify_row(j, lines, scratch_logits(j, scratch), z, y);
  }
}

/** The activation alone on n values, for tests of its accuracy. */
EXPORT(activate_values) void activate_values(float *values, int n, int activation) {
  for (int x = 0; x < n; x += 4) wasm_v128_store(values + x, activate(wasm_v128_load(values + x), activation));
}
