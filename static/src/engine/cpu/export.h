// Makes a function callable from the host: an export of the WebAssembly module, a symbol of the compiled library.
#pragma once

#ifdef __wasm__
#define EXPORT(name) __attribute__((export_name(#name)))
#else
#define EXPORT(name) __attribute__((visibility("default")))
#endif
