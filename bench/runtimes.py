"""The table of runtimes. A new runtime is a new row, never new code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from meshnet.infer.backends import BACKENDS

Host = Literal["site", "peer", "deno", "python"]
#: `cancel`: the runtime stops at the cap and reports its progress. `prefix`: its one call can't be stopped, so that a
#: network cut after its first layers is run instead.
Capping = Literal["cancel", "prefix"]

#: WebGPU and WebGL2 on Chromium's software rasteriser. Runtimes without a GPU use the same flags.
SWIFTSHADER = (
    "--enable-unsafe-webgpu",
    "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
)
#: WebGL2 on Mesa's llvmpipe through EGL. Through Vulkan, Chromium would take SwiftShader instead.
LLVMPIPE = ("--use-angle=gl-egl", "--ignore-gpu-blocklist")


@dataclass(frozen=True)
class Runtime:
    """One way to run a model. engine: its name within the host (an engine of the site, or library:backend)."""

    id: str
    title: str
    host: Host
    engine: str
    ours: bool = False
    capping: Capping = "cancel"
    flags: tuple[str, ...] = ()
    lavapipe: bool = False  # use Mesa's software Vulkan driver
    one_thread: bool = False
    f16: bool = False  # activations stored as float16


BROWSER: tuple[Runtime, ...] = (
    Runtime("webgpu", "this project, WebGPU (SwiftShader)", "site", "webgpu", ours=True, flags=SWIFTSHADER),
    Runtime("tfjs-webgpu", "TF.js, WebGPU (SwiftShader)", "peer", "tfjs:webgpu", flags=SWIFTSHADER),
    Runtime(
        "ort-webgpu",
        "onnxruntime-web, WebGPU (SwiftShader)",
        "peer",
        "ort:webgpu",
        capping="prefix",
        flags=SWIFTSHADER,
    ),
    Runtime("webgl2", "this project, WebGL2 (SwiftShader)", "site", "webgl2", ours=True, flags=SWIFTSHADER),
    Runtime("tfjs-webgl", "TF.js, WebGL (SwiftShader)", "peer", "tfjs:webgl", flags=SWIFTSHADER),
    Runtime(
        "webgl2-llvmpipe",
        "this project, WebGL2 (llvmpipe)",
        "site",
        "webgl2",
        ours=True,
        flags=LLVMPIPE,
        lavapipe=True,
    ),
    Runtime("tfjs-webgl-llvmpipe", "TF.js, WebGL (llvmpipe)", "peer", "tfjs:webgl", flags=LLVMPIPE, lavapipe=True),
    Runtime("cpu", "this project, WebAssembly", "site", "cpu", ours=True, flags=SWIFTSHADER),
    Runtime("ort-wasm", "onnxruntime-web, WebAssembly", "peer", "ort:wasm", capping="prefix", flags=SWIFTSHADER),
    Runtime("tfjs-wasm", "TF.js, WebAssembly", "peer", "tfjs:wasm", flags=SWIFTSHADER),
    Runtime(
        "cpu-1",
        "this project, WebAssembly, not isolated: 1 thread",
        "site",
        "cpu",
        ours=True,
        flags=SWIFTSHADER,
        one_thread=True,
    ),
    Runtime(
        "ort-wasm-1",
        "onnxruntime-web, WebAssembly, 1 thread",
        "peer",
        "ort:wasm",
        capping="prefix",
        flags=SWIFTSHADER,
        one_thread=True,
    ),
)

DENO: tuple[Runtime, ...] = (
    Runtime("deno-f32", "this project, WebGPU, Deno (lavapipe)", "deno", "webgpu", ours=True, lavapipe=True),
    Runtime("deno-f16", "the same, float16 storage", "deno", "webgpu", ours=True, lavapipe=True, f16=True),
)

PYTHON_PEERS: tuple[Runtime, ...] = (
    Runtime("ort-python", "onnxruntime, Python", "python", "ort", capping="prefix"),
    Runtime("torch-python", "PyTorch, channels_last_3d", "python", "torch", capping="prefix"),
    Runtime("brainchop", "brainchop (tinygrad, CPU)", "python", "brainchop", capping="prefix"),
)


#: Backends of `meshnet-predict` under the ids that earlier results use.
PREDICT_IDS = {"cpu": "predict-native", "onnx": "predict-onnx", "torch": "predict-torch"}

PREDICT: tuple[Runtime, ...] = tuple(
    Runtime(
        PREDICT_IDS[backend],
        f"meshnet-predict --backend {backend}",
        "python",
        f"predict:{backend}",
        ours=True,
        capping="prefix",
    )
    for backend in BACKENDS
)


def all_runtimes() -> tuple[Runtime, ...]:
    """Every runtime in the table's order."""
    return (*BROWSER, *DENO, *PREDICT, *PYTHON_PEERS)
