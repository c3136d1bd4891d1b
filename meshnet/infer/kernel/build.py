"""Compile the CPU kernel for this machine: `python -m meshnet.infer.kernel.build [--force]`.

Makes `meshnet/infer/kernel/_kernel.so` (`.dylib`, `.dll`) from static/src/engine/cpu/ with the C compiler of the PyPI
package `ziglang`, which brings its own C library and needs nothing else. Does nothing where the library is newer than
every source. The build hook runs it for wheels and editable installs; after a change of the C, run it by hand or
`make test`.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = HERE.parents[2] / "static" / "src" / "engine" / "cpu"

#: The source decides the order and rounding of every operation: the compiler fuses and reorders none.
FLAGS = ("-std=c17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden")
WARNINGS = ("-Wall", "-Wextra", "-Werror")


@dataclass(frozen=True)
class Target:
    """Compiler target: the oldest system, the kinds of CPU, the library's name and the wheel's platform tag."""

    triple: str
    #: Of each kernel: its name in C, `-mcpu`, and the users' name for its vectors.
    kernels: tuple[tuple[str, str, str], ...]
    library: str
    wheel_platform: str


X86 = (
    ("kernel_sse", "x86_64+sse3+ssse3+sse4_1", "SSE4.1"),
    ("kernel_v3", "x86_64_v3", "AVX2"),
    ("kernel_v4", "x86_64_v4", "AVX-512"),
)
ARM = (("kernel_neon", "baseline", "NEON"),)

#: By sys.platform and machine, as "linux-x86_64".
TARGETS = {
    "linux-x86_64": Target("x86_64-linux-gnu.2.17", X86, "_kernel.so", "manylinux_2_17_x86_64"),
    "linux-aarch64": Target("aarch64-linux-gnu.2.17", ARM, "_kernel.so", "manylinux_2_17_aarch64"),
    "darwin-x86_64": Target("x86_64-macos.11.0", X86, "_kernel.dylib", "macosx_11_0_x86_64"),
    "darwin-arm64": Target("aarch64-macos.11.0", ARM, "_kernel.dylib", "macosx_11_0_arm64"),
    "win32-AMD64": Target("x86_64-windows-gnu", X86, "_kernel.dll", "win_amd64"),
}


def target_here() -> Target | None:
    """None where there is no kernel for this machine."""
    return TARGETS.get(f"{sys.platform}-{platform.machine()}") if sys.maxsize > 2**32 else None


def build(*, force: bool = False) -> tuple[Path, Target] | None:
    """The library and its target; compiles it if it is missing, older than a source, or `force`.

    Returns None where there is no kernel for this machine. Raises RuntimeError with the compiler's message.
    """
    target = target_here()
    if target is None:
        return None
    library = HERE / target.library
    newest = max(path.stat().st_mtime for path in (Path(__file__), *SOURCES.glob("*.[ch]")))
    if force or not library.exists() or library.stat().st_mtime < newest:
        compile_library(target, library)
    return library, target


def compile_library(target: Target, library: Path) -> None:
    """Compiles one object per kind of CPU, planner.c and dispatch.c; links them, then replaces the library."""
    windows = target.library.endswith(".dll")
    flags = (*FLAGS, *WARNINGS, "-fno-builtin" if windows else "-fPIC")
    # Windows: no C library, whose hundreds of files the compiler would have to build first; windows.c stands in.
    sources: tuple[str, ...] = ("planner", "dispatch")
    libraries: tuple[str, ...] = ()
    if windows:
        sources, libraries = (*sources, "windows"), ("-nostdlib", "-lkernel32")
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        objects = []
        for kernel, mcpu, name in target.kernels:
            objects.append(f"{folder}/{kernel}.o")
            names = (f"-DKERNEL={kernel}", f'-DCPU="{name}"', f"-mcpu={mcpu}")
            run_zig(target, *flags, *names, "-c", str(SOURCES / "library.c"), "-o", objects[-1])
        for name in sources:
            objects.append(f"{folder}/{name}.o")
            run_zig(target, *flags, "-c", str(SOURCES / f"{name}.c"), "-o", objects[-1])
        partial = f"{folder}/{library.name}"
        run_zig(target, "-shared", "-s", *objects, *libraries, "-o", partial)
        os.replace(partial, library)


def run_zig(target: Target, *arguments: str) -> None:
    command = [sys.executable, "-m", "ziglang", "cc", "-target", target.triple, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = f"{' '.join(command)}\n{done.stderr}"
        raise RuntimeError(f"CPU kernel: the compiler ended with code {done.returncode}\n{said}")


if __name__ == "__main__":
    try:
        made = build(force="--force" in sys.argv)
    except RuntimeError as error:
        sys.exit(str(error))
    none = f"none for {sys.platform} on {platform.machine()}; meshnet-predict will use ONNX Runtime"
    print(f"CPU kernel: {made[0] if made else none}")
