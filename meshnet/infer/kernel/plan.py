"""A graph and a volume as a plan that the CPU kernel's threads carry out: plan.h makes it, here it gets its memory.

Arrays [x, y, z] are the network's D, H, W in C order, so z is fastest in memory: Z_FASTEST of axes.h.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.infer.kernel.library import Kernel
from meshnet.model.graph import Graph

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]

X_FASTEST, Z_FASTEST = range(2)
#: The enum of math.h.
ACTIVATIONS = {"relu": 0, "elu": 1, "gelu": 2, "gelu_tanh": 3, "none": 4}
#: planner.c wants addresses that are multiples of this.
ALIGNMENT = 64


@dataclass(frozen=True)
class Program:
    """A plan in memory, ready to run."""

    #: `Plan *` in C.
    address: int
    threads: int
    #: Steps done when each layer before the classifier is complete; the classifier belongs to the last.
    layer_ends: list[int]
    #: Labels uint8 [x, y, z], written by the run.
    labels: U8
    #: Arrays that the plan points to.
    arrays: tuple[NDArray[Any] | None, ...]


def make_program(
    kernel: Kernel,
    graph: Graph,
    image: F32,
    *,
    threads: int,
    probabilities: U8 | None = None,
    logits: F32 | None = None,
) -> Program:
    """Plans the run, loads the weights and the image.

    `image` float32 [x, y, z]. Where given, contiguous, the run fills `probabilities` uint8
    [classes - 1, x, y, z] and `logits` float32 [classes, x, y, z]. Raises MemoryError.
    """
    library, plan = kernel.library, plan_graph(kernel, graph, image.shape, threads=threads)
    address = plan.ctypes.data
    memory = aligned(int(library.plan_bytes(address)))
    labels = np.empty(image.shape, np.uint8)
    library.plan_outputs(address, *map(address_of, (labels, probabilities, logits)))
    library.plan_place(address, memory.ctypes.data)
    ctypes.memset(library.plan_control(address), 0, 4 * library.plan_control_length(address))
    load_weights(kernel, address, graph)
    load_image(kernel, address, memory, image)
    arrays = (plan, memory, probabilities, logits)
    return Program(address, threads, layer_ends(kernel, address, graph), labels, arrays)


def plan_graph(kernel: Kernel, graph: Graph, shape: tuple[int, ...], *, threads: int) -> U8:
    """The plan, an array that C reads and writes; it has no memory yet."""
    library, layers = kernel.library, graph.layers
    plan = aligned(library.plan_size(len(layers)))
    address, unit = plan.ctypes.data, library.kernel_unit(kernel.address)
    library.plan_begin(address, len(layers), *shape, Z_FASTEST, unit, threads, False, 0)
    for i, layer in enumerate(layers):
        outputs, inputs = layer.weight.shape[:2]
        eps = layer.norm.eps if layer.norm else 0
        activation = ACTIVATIONS[layer.activation]
        library.plan_layer(address, i, inputs, outputs, layer.dilation, activation, layer.norm is not None, eps)
    return plan


def load_weights(kernel: Kernel, plan: int, graph: Graph) -> None:
    for i, layer in enumerate(graph.layers):
        norm = (layer.norm.weight, layer.norm.bias) if layer.norm else (None, None)
        tensors = [contiguous(tensor) for tensor in (layer.weight, layer.bias, *norm)]
        kernel.library.plan_load(plan, i, *map(address_of, tensors))


def load_image(kernel: Kernel, plan: int, memory: U8, image: F32) -> None:
    """Copies the image to the first channel of every plane of the volume."""
    library = kernel.library
    start, stride = library.plan_volume(plan) - memory.ctypes.data, library.plan_plane_stride(plan)
    planes, plane = len(image), image[0].size
    volume = memory[start : start + 4 * planes * stride].view(np.float32).reshape(planes, stride)
    volume[:, :plane] = image.reshape(planes, plane)


def layer_ends(kernel: Kernel, plan: int, graph: Graph) -> list[int]:
    library, last = kernel.library, len(graph.layers) - 2
    ends, steps = [0] * (last + 1), 0
    for i in range(library.plan_passes(plan)):
        item = library.plan_pass(plan, i)
        steps += library.pass_steps(item)
        ends[min(library.pass_layer(item), last)] = steps
    return ends


def contiguous(tensor: F32 | None) -> F32 | None:
    return None if tensor is None else np.ascontiguousarray(tensor, np.float32)


def address_of(array: NDArray[Any] | None) -> int | None:
    return None if array is None else array.ctypes.data


def aligned(size: int) -> U8:
    """`size` uninitialised bytes whose address is a multiple of ALIGNMENT."""
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]
