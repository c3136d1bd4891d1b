"""Graph + volume → what the CPU kernel's threads compute, in order, and the arrays they work on.

The twin of static/src/engine/cpu/program.ts, with arrays where that has addresses.

Memory order, said once: the kernel's x runs fastest, so z, y, x are the network's D, H, W; its volume is
[z][channel][y][x]. Each layer overwrites its input plane by plane (kernel.c): one activation volume and a small ring.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.kernel.library import Job, Kernel, Pass
from meshnet.infer.kernel.weights import MAX_BLOCK, pack_classifier, pack_convolution
from meshnet.model.graph import Graph, Layer

F32 = NDArray[np.float32]

ACTIVATIONS = {"relu": 0, "elu": 1, "gelu": 2, "gelu_tanh": 3, "none": 4}

#: Rows a thread takes at a time: MAX_ROWS of kernel.c.
ROWS_PER_ITEM = 8
#: A step's multiply-adds per thread should outweigh its barrier (some 20 µs).
MACS_PER_STEP = 12e6
MAX_RING_BYTES = 64 * 2**20
CACHE_LINE_FLOATS = 16


@dataclass
class Program:
    """Passes one after the other, and everything they point to."""

    labels: NDArray[np.uint8]
    #: Per thread.
    scratch: list[F32]
    passes: list[Pass] = field(default_factory=list)
    #: Of each pass, whether a layer is complete after it.
    completes: list[bool] = field(default_factory=list)
    _alive: list[NDArray[Any]] = field(default_factory=list)

    def put(self, array: NDArray[Any] | None) -> int | None:
        """The array's address; it lives as long as the program."""
        if array is None:
            return None
        array = np.ascontiguousarray(array)
        self._alive.append(array)
        return array.ctypes.data

    @property
    def bytes(self) -> int:
        """Of all arrays together."""
        return sum(array.nbytes for array in (*self._alive, *self.scratch))

    def add(self, function: int, job: Job, steps: int, items: int, *, completes: bool = True) -> None:
        self.passes.append(Pass(function, ctypes.pointer(job), steps, items))
        self.completes.append(completes)


def make_program(kernel: Kernel, graph: Graph, image: F32, *, threads: int, logits: F32 | None = None) -> Program:
    """`image` [D, H, W]; `logits` [classes, D, H, W], contiguous, is filled where given. Raises MemoryError."""
    *blocks, classifier = graph.layers
    nz, ny, nx = image.shape
    shapes = [shape_of(block, image.shape, threads, kernel.unit) for block in blocks]
    widest = max(outputs_of(block) for block in blocks)
    line_length = max(shape.line_length for shape in shapes)
    products = max(outputs_of(block) * shape.points for block, shape in zip(blocks, shapes, strict=True)) * kernel.unit
    logits_row = graph.classes * round_up(nx, kernel.unit)
    scratch = (line_length * (1 + ROWS_PER_ITEM * widest) + ROWS_PER_ITEM * products + logits_row,)

    program = Program(np.empty(image.shape, np.uint8), [aligned(scratch) for _ in range(threads)])
    put = program.put
    volume = aligned((nz, widest, ny, nx))
    volume[:, 0] = image
    row_blocks = ceil_div(ny, ROWS_PER_ITEM)
    shared: dict[str, Any] = {
        "nx": nx,
        "ny": ny,
        "nz": nz,
        "plane_stride": widest * ny * nx,
        "line_length": line_length,
        "max_block": MAX_BLOCK,
        "volume": put(volume),
        "ring": put(aligned((max(shape.ring_planes * shape.ring_stride for shape in shapes),))),
        "labels": put(program.labels),
        "logits": put(logits),
        "class_weights": put(pack_classifier(classifier)),
        "class_bias": put(classifier.bias),
    }
    statistics = put(np.empty((nz, row_blocks, widest, 2))) if any(block.norm for block in blocks) else None
    nothing_to_do: dict[str, Any] = {"in_activation": ACTIVATIONS["none"]}
    to_do = nothing_to_do
    for block, shape in zip(blocks, shapes, strict=True):
        job = Job(**shared, **to_do, **shape.members(), **layer_members(program, block, shape))
        to_do = nothing_to_do
        if block.norm is None and block is blocks[-1]:
            job.classes = graph.classes
        steps = ceil_div(nz + 1, shape.planes_per_step) + 1
        items = 2 * shape.planes_per_step * row_blocks
        program.add(kernel.convolve, job, steps, items, completes=block.norm is None)
        if block.norm is not None:
            scale = put(np.empty((2, outputs_of(block)), np.float32))
            job.statistics, job.out_scale = statistics, scale
            program.add(kernel.merge, job, 1, outputs_of(block), completes=block is not blocks[-1])
            # The norm and the activation are applied as the next layer reads.
            to_do = {"in_scale": scale, "in_activation": ACTIVATIONS[block.activation]}
    if blocks[-1].norm is not None:
        channels = outputs_of(blocks[-1])
        sizes = {"in_channels": channels, "out_channels": channels, "points": shapes[-1].points}
        program.add(kernel.classify, Job(**shared, **to_do, **sizes, classes=graph.classes), nz, row_blocks)
    return program


def layer_members(program: Program, layer: Layer, shape: Shape) -> dict[str, Any]:
    norm, put = layer.norm, program.put
    return {
        "in_channels": inputs_of(layer),
        "out_channels": outputs_of(layer),
        "dilation": layer.dilation,
        "z_order": put(residue_order(shape.nz, layer.dilation)),
        "y_order": put(residue_order(shape.ny, layer.dilation)),
        "weights": put(pack_convolution(layer, winograd=shape.points == 6)),
        "bias": put(layer.bias),
        "activation": ACTIVATIONS[layer.activation if norm is None else "none"],
        "norm_weight": put(norm.weight) if norm else None,
        "norm_bias": put(norm.bias) if norm else None,
        "eps": norm.eps if norm else 0,
    }


@dataclass(frozen=True)
class Shape:
    """How a layer is cut; job.h says what the members are."""

    ny: int
    nz: int
    points: int
    tiles: int
    row_length: int
    unit_stride: int
    ring_planes: int
    ring_stride: int
    planes_per_step: int
    line_length: int

    def members(self) -> dict[str, int]:
        return {name: value for name, value in vars(self).items() if name not in ("ny", "nz", "line_length")}


def shape_of(layer: Layer, dims: Sequence[int], threads: int, unit: int) -> Shape:
    """Winograd where the dilation suits vectors (1, 2, multiples of 4) and its tiles do not waste what it saves."""
    nz, ny, nx = dims
    d = layer.dilation
    winograd_tiles = round_up(d * ceil_div(nx, 4 * d), unit)
    direct_tiles = round_up(nx, unit)
    suits = d in (1, 2) or d % 4 == 0
    winograd = suits and 6 * winograd_tiles * 1.15 < 3 * direct_tiles
    tiles = winograd_tiles if winograd else direct_tiles
    row_length = unit if winograd else round_up(tiles + 2 * d, 4)
    # One more cache line, so that a row's units do not all fall on the same set of a cache.
    unit_stride = round_up(ny * inputs_of(layer) * row_length, CACHE_LINE_FLOATS) + CACHE_LINE_FLOATS
    ring_stride = unit_stride * (6 * tiles // unit if winograd else 1)
    line_length = round_up(d, 4) + 4 * d * ceil_div(tiles, d) + d + 24 if winograd else tiles
    macs_per_plane = nx * ny * layer.weight.size
    enough = 1 if threads == 1 else ceil_div(int(MACS_PER_STEP * threads), macs_per_plane)
    fits = MAX_RING_BYTES // (8 * ring_stride) - 1
    planes_per_step = max(1, min(enough, fits, nz))
    return Shape(
        ny=ny,
        nz=nz,
        points=6 if winograd else 1,
        tiles=tiles,
        row_length=row_length,
        unit_stride=unit_stride,
        ring_planes=2 * planes_per_step + 2,
        ring_stride=ring_stride,
        planes_per_step=planes_per_step,
        line_length=round_up(line_length, CACHE_LINE_FLOATS),
    )


def residue_order(n: int, d: int) -> NDArray[np.int32]:
    """0…n-1 by residue class: 0, d, 2d, …, 1, 1+d, …: neighbours at distance d are neighbours in the order."""
    return np.concatenate([np.arange(r, n, d, dtype=np.int32) for r in range(min(d, n))])


def inputs_of(layer: Layer) -> int:
    return int(layer.weight.shape[1])


def outputs_of(layer: Layer) -> int:
    return int(layer.weight.shape[0])


def aligned(shape: Sequence[int]) -> F32:
    """An uninitialised float32 array that starts at a cache line."""
    n = int(np.prod(shape))
    raw = np.empty(n + CACHE_LINE_FLOATS, np.float32)
    start = -raw.ctypes.data // 4 % CACHE_LINE_FLOATS
    return raw[start : start + n].reshape(shape)


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def round_up(value: int, multiple: int) -> int:
    return ceil_div(value, multiple) * multiple
