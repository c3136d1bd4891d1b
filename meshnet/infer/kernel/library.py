"""The compiled CPU kernel (static/src/engine/cpu/plan.h): finding it, loading it, and its functions."""

from __future__ import annotations

import ctypes
import platform
import sys
from ctypes import c_char_p, c_double, c_float, c_int, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshnet.infer.kernel.build import target_here

#: LIBRARY_VERSION of plan.h.
VERSION = 5

#: The library's functions: what they return, and their arguments. plan.h and dispatch.c document them; plans, passes,
#: kernels and arrays are addresses.
FUNCTIONS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "library_version": (c_int, ()),
    "best_kernel": (c_void_p, ()),
    "kernel_at": (c_void_p, (c_int,)),
    "kernel_cpu": (c_char_p, (c_void_p,)),
    "kernel_unit": (c_int, (c_void_p,)),
    "plan_size": (c_int, (c_int,)),
    # plan, layers, x, y, z, order, unit, threads, inspect, results in memory
    "plan_begin": (None, (c_void_p, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int)),
    # plan, layer, input and output channels, dilation, activation, whether it has a norm, eps
    "plan_layer": (None, (c_void_p, c_int, c_int, c_int, c_int, c_int, c_int, c_float)),
    "plan_bytes": (c_double, (c_void_p,)),
    # plan, labels, probabilities, logits
    "plan_outputs": (None, (c_void_p, c_void_p, c_void_p, c_void_p)),
    "plan_place": (None, (c_void_p, c_void_p)),
    # plan, layer, weight, bias, the norm's weight and bias
    "plan_load": (None, (c_void_p, c_int, c_void_p, c_void_p, c_void_p, c_void_p)),
    "plan_volume": (c_void_p, (c_void_p,)),
    "plan_plane_stride": (c_int, (c_void_p,)),
    "plan_control": (c_void_p, (c_void_p,)),
    "plan_control_length": (c_int, (c_void_p,)),
    "plan_passes": (c_int, (c_void_p,)),
    "plan_pass": (c_void_p, (c_void_p, c_int)),
    "pass_layer": (c_int, (c_void_p,)),
    "pass_steps": (c_int, (c_void_p,)),
    # kernel, plan, thread; without Python's lock while it runs
    "run_plan": (None, (c_void_p, c_void_p, c_int)),
    "steps_done": (c_int, (c_void_p,)),
    "cancel": (None, (c_void_p,)),
    # for tests: kernel, values, their number, activation
    "activate_values": (None, (c_void_p, c_void_p, c_int, c_int)),
    # for tests: to, weight, outputs, channels, points, order
    "pack_convolution": (None, (c_void_p, c_void_p, c_int, c_int, c_int, c_int)),
}


class KernelMissingError(Exception):
    """Says why there is no kernel here, and what to do about it."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that this CPU runs."""

    #: The vectors it was compiled for, such as AVX2.
    cpu: str
    #: The library, its FUNCTIONS declared.
    library: ctypes.CDLL
    #: `Kernel *` in C.
    address: int


def load_kernel(path: Path | None = None) -> Kernel:
    """The fastest kernel for this CPU. Raises KernelMissingError."""
    library = _open(path)
    address = library.best_kernel()
    if address is None:
        raise KernelMissingError("this CPU lacks SSE4.1, which the kernel needs")
    return _kernel(library, address)


def load_all_kernels() -> list[Kernel]:
    """Every kernel that this CPU runs, the fastest last: for tests and measurements."""
    best = load_kernel()
    kernels: list[Kernel] = []
    while not kernels or kernels[-1].address != best.address:
        kernels.append(_kernel(best.library, best.library.kernel_at(len(kernels))))
    return kernels


def _kernel(library: ctypes.CDLL, address: int) -> Kernel:
    return Kernel(library.kernel_cpu(address).decode(), library, address)


def _open(path: Path | None) -> ctypes.CDLL:
    path = path or _library_here()
    if not path.exists():
        raise KernelMissingError(
            f"{path.name} is not there; in a checkout, build it: python -m meshnet.infer.kernel.build"
        )
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelMissingError(f"{path.name} does not load: {error}") from error
    version = library.library_version() if hasattr(library, "library_version") else 1
    if version != VERSION:
        raise KernelMissingError(
            f"{path.name} has version {version}, expected {VERSION}; build it again: "
            "python -m meshnet.infer.kernel.build --force"
        )
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _library_here() -> Path:
    target = target_here()
    if target is None:
        raise KernelMissingError(f"there is no kernel for {sys.platform} on {platform.machine()}")
    return Path(__file__).with_name(target.library)
