// The names of the axes, for C, TypeScript and Python alike.
//
//   Network: x = D (i), y = H (j), z = W (k). A weight tensor is [out][in][x][y][z] with z fastest.
//   Memory:  fast, middle, slow, the order in which a volume lies in memory. A row runs along fast; a plane holds
//            fast and middle. The kernels know these three only.
//
// The page's volumes are in NIfTI order: fast is x, slow is z. Python's arrays [x][y][z] are in C order: fast is z,
// slow is x.
#pragma once

enum { X_FASTEST = 0, Z_FASTEST = 1 };

/** One value per memory axis. */
typedef struct {
  int fast, middle, slow;
} PerAxis;

/** The values of the network's axes, by memory axis; `order` is X_FASTEST or Z_FASTEST. */
static inline PerAxis by_memory_axis(int order, int x, int y, int z) {
  return order == X_FASTEST ? (PerAxis){x, y, z} : (PerAxis){z, y, x};
}
