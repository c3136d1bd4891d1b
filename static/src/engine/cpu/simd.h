// Vectors of float32 in the compiler's own vector types (Clang's ext_vector_type): one source for WebAssembly and for
// the CPUs of the library. An operator works lane by lane, a cast of a number fills all lanes, a cast of a vector keeps its bits.
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef float f4 __attribute__((ext_vector_type(4)));
typedef int32_t i4 __attribute__((ext_vector_type(4)));
typedef double d2 __attribute__((ext_vector_type(2)));
typedef int64_t l2 __attribute__((ext_vector_type(2)));

// The sums (multiply.h) use the widest vectors that were measured to be faster; all other code uses four lanes.
#if defined(__AVX512F__)
#define WIDE_LANES 16
#elif defined(__AVX2__)
#define WIDE_LANES 8
#else
#define WIDE_LANES 4
#endif
typedef float wide __attribute__((ext_vector_type(WIDE_LANES)));

/** Tiles, or voxels, that the sums work on at a time. */
#define UNIT (2 * WIDE_LANES)

// Memory is aligned to its float32 values only.
typedef f4 f4_anywhere __attribute__((aligned(4)));
typedef wide wide_anywhere __attribute__((aligned(4)));
typedef int64_t l1_anywhere __attribute__((aligned(4), may_alias));

static inline f4 load(const float *from) { return *(const f4_anywhere *)from; }
static inline void store(float *to, f4 v) { *(f4_anywhere *)to = v; }
static inline wide load_wide(const float *from) { return *(const wide_anywhere *)from; }
static inline void store_wide(float *to, wide v) { *(wide_anywhere *)to = v; }

/** Two runs of two floats. */
static inline f4 load_pairs(const float *first, const float *second) {
  return (f4)(l2){*(const l1_anywhere *)first, *(const l1_anywhere *)second};
}
static inline void store_pairs(float *first, float *second, f4 v) {
  *(l1_anywhere *)first = ((l2)v).x;
  *(l1_anywhere *)second = ((l2)v).y;
}

static inline f4 splat(float x) { return (f4)(x); }

// One instruction each; a NaN in the first argument stays.
static inline f4 larger(f4 a, f4 b) { return a < b ? b : a; }
static inline f4 smaller(f4 a, f4 b) { return b < a ? b : a; }

/** a · b + c; one rounding where there is a fused instruction, two otherwise (WebAssembly without relaxed SIMD, SSE4.1). */
#if defined(__wasm_relaxed_simd__)
#define DEFINE_MADD(name, type) \
  static inline type name(type a, type b, type c) { return __builtin_wasm_relaxed_madd_f32x4(a, b, c); }
#elif defined(__wasm__) || (defined(__x86_64__) && !defined(__FMA__))
#define DEFINE_MADD(name, type) \
  static inline type name(type a, type b, type c) { return a * b + c; }
#else
#define DEFINE_MADD(name, type) \
  static inline type name(type a, type b, type c) { return __builtin_elementwise_fma(a, b, c); }
#endif
DEFINE_MADD(madd, f4)
DEFINE_MADD(madd_wide, wide)

/** Asks for the cache line at `from`, which will be read soon; WebAssembly has no such instruction. */
#ifdef __wasm__
#define PREFETCH(from) ((void)(from))
#else
#define PREFETCH(from) __builtin_prefetch(from)
#endif

/** Keeps the compiler from moving the computation of a and b: for loops whose order decides what stays in registers. */
#if defined(__x86_64__)
#define IN_THIS_ORDER(a, b) __asm__ volatile("" : "+v"(a), "+v"(b)::"memory")
#elif defined(__aarch64__)
#define IN_THIS_ORDER(a, b) __asm__ volatile("" : "+w"(a), "+w"(b)::"memory")
#else
#define IN_THIS_ORDER(a, b) __asm__ volatile("" : "+r"(a), "+r"(b)::"memory")
#endif
