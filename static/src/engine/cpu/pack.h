// A layer's weights in the order in which multiply.h reads them, and the residue order of planes and rows.
//
//   Winograd:   [register block][point][slow][middle][channel][output in block], transformed along fast
//   direct:     [register block][slow][fast][middle][channel][output in block]
//   classifier: [register block][channel][output in block]
//
// Source: a weight tensor [output][channel][x][y][z]; `order` says which axis of the network is fast in memory.
#pragma once
#include "job.h"

#define TAPS 27  /* of a 3 × 3 × 3 convolution */

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

/** Winograd's sum over the three taps along fast, in float64. */
static float transformed(const float *taps, int stride, const double G[3]) {
  double sum = 0;
  for (int fast = 0; fast < 3; fast++) sum += G[fast] * taps[fast * stride];
  return (float)sum;
}

/** points: 6 for Winograd, 1 for direct. Writes outputs · channels · (54 or 27) floats. */
static void pack_taps(float *to, const float *weight, int outputs, int channels, int points, int order) {
  const PerAxis stride = by_memory_axis(order, 9, 3, 1);
  const int inner = points == 6 ? 1 : 3;  // direct: the taps along fast are terms of the sum
  double G[6][3];
  winograd_weights(G);
  for (int block = 0, first = 0; block < register_blocks(outputs); first += outputs_of_block(outputs, block++)) {
    const int last = first + outputs_of_block(outputs, block);
    for (int i = 0; i < points * 3 * inner * 3; i++) {
      const int middle = i % 3, fast = i / 3 % inner, slow = i / 3 / inner % 3, point = i / 9 / inner;
      const float *taps = weight + slow * stride.slow + middle * stride.middle;
      for (int c = 0; c < channels; c++) {
        for (int o = first; o < last; o++) {
          const float *from = taps + ((size_t)o * channels + c) * TAPS;
          *to++ = points == 6 ? transformed(from, stride.fast, G[point]) : from[fast * stride.fast];
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

/** 0…n−1 by residue class: 0, d, 2d, …, 1, 1+d, …: neighbours at the distance d are neighbours in the order. */
static void order_by_residue(int *to, int n, int dilation) {
  for (int residue = 0; residue < dilation && residue < n; residue++) {
    for (int i = residue; i < n; i += dilation) *to++ = i;
  }
}
