// Makes a function callable from the host: an export of the WebAssembly module, a symbol of the compiled library.
#pragma once

#ifdef __wasm__
#define EXPORT(name) __attribute__((export_name(#name)))
#elif defined(_WIN32)
#define EXPORT(name) __declspec(dllexport)
#else
#define EXPORT(name) __attribute__((visibility("default")))
#endif
