"""What a layer has to do at least, and which share of the device's measured peaks it reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench.estimate import layer_macs
from meshnet.model.spec import Architecture


@dataclass(frozen=True)
class Layer:
    """operations: two per multiply-add of the direct convolution; bytes: input read once and output written once."""

    name: str
    operations: float
    bytes: float


def layers_of(architecture: Architecture, voxels: int, bytes_per_value: int, *, fused: bool) -> list[Layer]:
    """The convolutions, and the classifier with its labels. fused: the classifier runs within the last convolution."""
    a = architecture
    macs = [voxels * each for each in layer_macs(a)]
    widths = [a.in_channels] + [a.channels] * len(a.dilations)
    # The image is float32; labels take a byte.
    moved = [voxels * (i * (4 if n == 0 else bytes_per_value) + o * bytes_per_value) for n, (i, o) in _numbered(widths)]
    layers = [Layer(f"{n + 1}: dilation {d}", 2 * macs[n], moved[n]) for n, d in enumerate(a.dilations)]
    end = Layer("classifier", 2 * macs[-1], voxels * (a.channels * bytes_per_value + 1))
    if not fused:
        return [*layers, end]
    last = layers[-1]
    read = moved[-1] - voxels * a.channels * bytes_per_value
    return [*layers[:-1], Layer(f"{last.name}, classifier", last.operations + end.operations, read + voxels)]


def _numbered(widths: Sequence[int]) -> list[tuple[int, tuple[int, int]]]:
    return list(enumerate(pairwise(widths)))


def layer_rows(
    architecture: Architecture, voxels: int, bytes_per_value: int, timings: Sequence[Mapping[str, Any]], peaks: Peaks
) -> list[dict[str, Any]]:
    """A row per layer: milliseconds on the device, rates, and shares of the peaks.

    timings: of the engine (static/src/engine/types.ts), `prepare` first. Without a device clock the wall clock counts.
    """
    key = "gpuMilliseconds" if all("gpuMilliseconds" in timing for timing in timings[1:]) else "milliseconds"
    took = [float(timing[key]) for timing in timings[1:]]
    fused = len(took) > 1 and took[-1] == 0
    layers = layers_of(architecture, voxels, bytes_per_value, fused=fused)
    return [rates(layer, ms, peaks) for layer, ms in zip(layers, took, strict=False)]


@dataclass(frozen=True)
class Peaks:
    """Measured in the same run; None where that failed."""

    flops: float | None
    bytes_per_s: float | None


def rates(work: Layer, milliseconds: float, peaks: Peaks) -> dict[str, Any]:
    """Rates of some work, and their shares of the peaks. bound: what limits this work on this device at best."""
    seconds = milliseconds / 1e3
    operations = work.operations / seconds if seconds > 0 else None
    moved = work.bytes / seconds if seconds > 0 else None
    row: dict[str, Any] = {
        "layer": work.name,
        "ms": milliseconds,
        "gflops": operations and operations / 1e9,
        "gbytes_per_s": moved and moved / 1e9,
        "share_of_flops": operations and peaks.flops and operations / peaks.flops,
        "share_of_bytes": moved and peaks.bytes_per_s and moved / peaks.bytes_per_s,
    }
    if peaks.flops and peaks.bytes_per_s:
        by_flops, by_bytes = work.operations / peaks.flops, work.bytes / peaks.bytes_per_s
        row["least_ms"] = 1e3 * max(by_flops, by_bytes)
        row["bound"] = "operations" if by_flops > by_bytes else "bytes"
    return row
