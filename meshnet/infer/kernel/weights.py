"""A layer's weights as the CPU kernel reads them (static/src/engine/cpu/; the twin of its weights.ts).

[output block][point][tap][channel][output in block], float32; taps kz, ky, and without Winograd kz, kx, ky.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.model.graph import Layer

F32 = NDArray[np.float32]

#: Output channels held in registers at once, at most: two vectors of each, two of input, a weight: 15 registers.
MAX_BLOCK = 6

_POINTS = np.array([0, np.sqrt(0.5), -np.sqrt(0.5), np.sqrt(2), -np.sqrt(2)])


def transform() -> NDArray[np.float64]:
    """Winograd F(4,3)'s G [6, 3] at the points 0, ±√½, ±√2 and ∞.

    A row's divisor is the product of its point's differences to the other four.
    """
    divisors = [np.prod([p - q for q in _POINTS if q != p]) for p in _POINTS]
    rows = [[1 / divisor, p / divisor, p * p / divisor] for p, divisor in zip(_POINTS, divisors, strict=True)]
    return np.array([*rows, [0, 0, 1]])


def output_blocks(outputs: int) -> list[int]:
    """Sizes of the register blocks: as equal as possible, the larger first (as in kernel.c)."""
    count = -(-outputs // MAX_BLOCK)
    return [outputs // count + (block < outputs % count) for block in range(count)]


def pack_convolution(layer: Layer, *, winograd: bool) -> F32:
    """Weights of a 3x3x3 layer, transformed along x (in float64) where `winograd`."""
    outputs, channels = layer.weight.shape[:2]
    weight = layer.weight.astype(np.float64)  # [o, c, kz, ky, kx]
    if winograd:
        by_point = np.einsum("pk,oczyk->pzyco", transform(), weight)
        return _pack(by_point.reshape(6, 9, channels, outputs))
    return _pack(weight.transpose(2, 4, 3, 1, 0).reshape(1, 27, channels, outputs))


def pack_classifier(layer: Layer) -> F32:
    """Weights of the 1x1x1 classifier."""
    outputs, channels = layer.weight.shape[:2]
    return _pack(layer.weight.reshape(outputs, channels).T.reshape(1, 1, channels, outputs))


def _pack(values: NDArray[Any]) -> F32:
    """[point, tap, channel, output] cut into blocks of outputs."""
    ends = np.cumsum(output_blocks(values.shape[-1]))[:-1]
    blocks = [block.ravel() for block in np.split(values, ends, axis=-1)]
    packed: F32 = np.concatenate(blocks).astype(np.float32, copy=False)
    return packed
