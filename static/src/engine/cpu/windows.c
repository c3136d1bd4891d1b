// The compiled library on Windows stands alone, without a C library: its entry point, and the two functions to which the
// compiler turns copies and fills of memory. Compiled with -fno-builtin, so that they don't call themselves.
#include <stddef.h>

/** Marks a library that uses floating point. */
int _fltused = 0;

int __stdcall DllMainCRTStartup(void *library, unsigned reason, void *reserved) {
  (void)library, (void)reason, (void)reserved;
  return 1;
}

void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  for (size_t i = 0; i < n; i++) ((char *)to)[i] = ((const char *)from)[i];
  return to;
}

void *memset(void *to, int value, size_t n) {
  for (size_t i = 0; i < n; i++) ((char *)to)[i] = (char)value;
  return to;
}
