// A layer's weights in the order in which multiply.h reads them, and the residue order of planes and rows.
//
//   square:     [register block][point along middle, along fast][slow][channel][output in block], transformed along both
//   Winograd:   [register block][point][slow][middle][channel][output in block], transformed along fast
//   direct:     [register block][slow][fast][middle][channel][output in block]
//   classifier: [register block][channel][output in block]
//
// Source: a weight tensor [output][channel][x][y][z]; `order` says which axis of the network is fast in memory.
#pragma once
#include "job.h"

/**
 * Winograd's G [6][3] of F(4,3) at the points 0, ±√½, ±√2 and ∞: a row is 1, p, p² over the product of the point's
 * differences to the other finite points.
 */
static void winograd_weights(double G[6][3]) {
  const double a = 0.70710678118654752440, b = 1.41421356237309504880;
  const double points[5] = {0, a, -a, b, -b};
  for (int i = 0; i < 5; i++) {
    const double p = points[i];
    double divisor = 1;
    for (int k = 0; k < 5; k++) {
      if (k != i) divisor *= p - points[k];
    }
    G[i][0] = 1 / divisor, G[i][1] = p / divisor, G[i][2] = p * p / divisor;
  }
  G[5][0] = 0, G[5][1] = 0, G[5][2] = 1;
}

/** Σ G[tap] · taps[tap · stride] over the three taps of an axis. */
static double transformed(const float *taps, int stride, const double G[3]) {
  double sum = 0;
  for (int tap = 0; tap < 3; tap++) sum += G[tap] * taps[tap * stride];
  return sum;
}

/** Winograd's sum over the taps along fast and middle. */
static double transformed_square(const float *taps, PerAxis stride, const double alongMiddle[3], const double alongFast[3]) {
  double sum = 0;
  for (int tap = 0; tap < 3; tap++) sum += alongMiddle[tap] * transformed(taps + tap * stride.middle, stride.fast, alongFast);
  return sum;
}

/** points: as in Job. Sums are float64, rounded once. Writes outputs · channels · packed_taps floats. */
static void pack_taps(float *to, const float *weight, int outputs, int channels, int points, int order) {
  const PerAxis stride = by_memory_axis(order, 9, 3, 1);
  // Taps along fast and middle that are left as terms of the sum.
  const int fastTaps = points == 1 ? 3 : 1, middleTaps = points == SQUARE_POINTS ? 1 : 3, perSlow = fastTaps * middleTaps;
  double G[TILE_POINTS][3];
  winograd_weights(G);
  for (int block = 0, first = 0; block < register_blocks(outputs); first += outputs_of_block(outputs, block++)) {
    const int last = first + outputs_of_block(outputs, block);
    for (int i = 0; i < points * 3 * perSlow; i++) {
      const int middle = i % middleTaps, fast = i / middleTaps % fastTaps, slow = i / perSlow % 3, point = i / perSlow / 3;
      const float *taps = weight + slow * stride.slow + middle * stride.middle;
      for (int c = 0; c < channels; c++) {
        for (int o = first; o < last; o++) {
          const float *from = taps + ((size_t)o * channels + c) * TAPS;
          if (points == 1) *to++ = from[fast * stride.fast];
          else if (points == TILE_POINTS) *to++ = (float)transformed(from, stride.fast, G[point]);
          else *to++ = (float)transformed_square(from, stride, G[point / TILE_POINTS], G[point % TILE_POINTS]);
        }
      }
    }
  }
}

/** Writes outputs · channels floats. */
static void pack_classes(float *to, const float *weight, int outputs, int channels) {
  for (int block = 0, first = 0; block < register_blocks(outputs); first += outputs_of_block(outputs, block++)) {
    const int last = first + outputs_of_block(outputs, block);
    for (int c = 0; c < channels; c++) {
      for (int o = first; o < last; o++) *to++ = weight[(size_t)o * channels + c];
    }
  }
}

/**
 * 0…n−1 by residue class: 0, d, 2d, …, 1, 1+d, …: neighbours at the distance d are neighbours in the order. Each class is
 * filled up with −1 to a multiple of `multiple`.
 */
static void order_by_residue(int *to, int n, int dilation, int multiple) {
  for (int residue = 0; residue < dilation && residue < n; residue++) {
    int count = 0;
    for (int i = residue; i < n; i += dilation, count++) *to++ = i;
    for (; count % multiple != 0; count++) *to++ = -1;
  }
}
