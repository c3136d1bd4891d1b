"""The compiled CPU kernel (static/src/engine/cpu/native.h): finding it, loading it, and its structures."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_float, c_int, c_uint, c_void_p
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshnet.infer.kernel.build import target_here


class Job(Structure):
    """One layer: `Job` of job.h, member by member."""

    _fields_ = (
        ("nx", c_int),
        ("ny", c_int),
        ("nz", c_int),
        ("in_channels", c_int),
        ("out_channels", c_int),
        ("dilation", c_int),
        ("points", c_int),
        ("tiles", c_int),
        ("row_length", c_int),
        ("unit_stride", c_int),
        ("ring_planes", c_int),
        ("ring_stride", c_int),
        ("planes_per_step", c_int),
        ("max_block", c_int),
        ("plane_stride", c_uint),
        ("volume", c_void_p),
        ("ring", c_void_p),
        ("z_order", c_void_p),
        ("y_order", c_void_p),
        ("weights", c_void_p),
        ("bias", c_void_p),
        ("activation", c_int),
        ("in_scale", c_void_p),
        ("in_activation", c_int),
        ("statistics", c_void_p),
        ("out_scale", c_void_p),
        ("norm_weight", c_void_p),
        ("norm_bias", c_void_p),
        ("eps", c_float),
        ("classes", c_int),
        ("class_weights", c_void_p),
        ("class_bias", c_void_p),
        ("labels", c_void_p),
        ("margin", c_void_p),
        ("logits", c_void_p),
        ("line_length", c_int),
    )


class Pass(Structure):
    """`Pass` of native.c: `steps` steps one after the other, each of `items` independent calls of `function`."""

    _fields_ = (("function", c_void_p), ("job", POINTER(Job)), ("steps", c_int), ("items", c_int))


class _Table(Structure):
    """`Kernel` of native.h: kernel.c as compiled for one kind of CPU."""

    _fields_ = (
        ("cpu", c_char_p),
        ("unit", c_int),
        ("job_bytes", c_int),
        ("pass_bytes", c_int),
        ("convolve", c_void_p),
        ("merge", c_void_p),
        ("classify", c_void_p),
        ("run_passes", CFUNCTYPE(None, POINTER(Pass), c_int, c_int, c_void_p, c_void_p)),
        ("activate_values", CFUNCTYPE(None, c_void_p, c_int, c_int)),
    )


class KernelMissingError(Exception):
    """Says why there is no kernel here, and what to do about it."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that this CPU runs."""

    #: The vectors it was compiled for, such as AVX2.
    cpu: str
    #: Tiles or voxels that the sums work on at a time; rows are rounded up to it.
    unit: int
    #: Addresses: what a pass can call.
    convolve: int
    merge: int
    classify: int
    #: (passes, their number, threads, control, this thread's scratch); without Python's lock while it runs.
    run_passes: Callable[[Any, int, int, int, int], None]
    #: (values, their number, activation), for tests of its accuracy.
    activate_values: Callable[[int, int, int], None]


def load_kernel(path: Path | None = None) -> Kernel:
    """The fastest kernel for this CPU. Raises KernelMissingError."""
    library = _open(path)
    library.best_kernel.restype = POINTER(_Table)
    table = library.best_kernel()
    if not table:
        raise KernelMissingError("this CPU lacks AVX2 or FMA, which the kernel needs")
    return _kernel(table.contents)


def load_all_kernels() -> list[Kernel]:
    """Every kernel that this CPU runs, the fastest last: for tests and measurements."""
    library, best = _open(None), load_kernel()
    library.kernel_at.restype = POINTER(_Table)
    kernels: list[Kernel] = []
    while not kernels or kernels[-1].cpu != best.cpu:
        kernels.append(_kernel(library.kernel_at(len(kernels)).contents))
    return kernels


def _open(path: Path | None) -> ctypes.CDLL:
    path = path or _library_here()
    if not path.exists():
        raise KernelMissingError(
            f"{path.name} is not there; in a checkout, build it: python -m meshnet.infer.kernel.build"
        )
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise KernelMissingError(f"{path.name} does not load: {error}") from error


def _library_here() -> Path:
    target = target_here()
    if target is None:
        raise KernelMissingError(f"there is no kernel for {sys.platform} on {platform.machine()}")
    return Path(__file__).with_name(target.library)


def _kernel(table: _Table) -> Kernel:
    if (table.job_bytes, table.pass_bytes) != (ctypes.sizeof(Job), ctypes.sizeof(Pass)):
        raise KernelMissingError(
            "the kernel is of another version; build it again: python -m meshnet.infer.kernel.build --force"
        )
    return Kernel(
        table.cpu.decode(),
        table.unit,
        table.convolve,
        table.merge,
        table.classify,
        table.run_passes,
        table.activate_values,
    )
