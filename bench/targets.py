"""The project's performance targets, computed from the cells of one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.cell import Cell

Outcome = Literal["reached", "not reached", "not in this run"]

#: Rate of brainchop's tinygrad-compiled kernels (MeshNet-5, 256³, SwiftShader, f16 line removed), recorded once on a
#: 2-core machine: 285 s. The bench doesn't run them: compiling them needs a GPU that tinygrad can search on.
TINYGRAD_GFLOPS = 0.66


@dataclass(frozen=True)
class Ratio:
    """Target: a bound on `quantity` of `ours` over that of `other` (a runtime or a constant), at each size and number
    of channels. sizes: empty for the largest size that both have; channels: empty for all."""

    text: str
    quantity: Literal["speed", "gflops", "peak_bytes", "allocated_bytes"]
    ours: str
    other: str | float
    least: float | None = None
    most: float | None = None
    aim: float | None = None
    sizes: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()


@dataclass(frozen=True)
class Finishes:
    """Target: the cell runs to its end."""

    text: str
    ours: str
    size: int
    channels: int


@dataclass(frozen=True)
class Line:
    """One target's result. value: None if the run doesn't measure it."""

    text: str
    where: str
    outcome: Outcome
    value: float | None = None
    wanted: str = ""
    note: str = ""


def _volume_bytes(channels: int) -> float:
    return 4.0 * channels * 256**3


TARGETS: tuple[Ratio | Finishes, ...] = (
    Ratio("WebGPU over TF.js WebGPU, SwiftShader", "speed", "webgpu", "tfjs-webgpu", least=40, sizes=(64, 128)),
    Ratio(
        "WebGPU over onnxruntime-web WebGPU, SwiftShader", "speed", "webgpu", "ort-webgpu", least=40, sizes=(64, 128)
    ),
    Ratio(
        f"WebGPU over the tinygrad kernels' recorded {TINYGRAD_GFLOPS} GFLOP/s",
        "gflops",
        "webgpu",
        TINYGRAD_GFLOPS,
        least=6,
        channels=(5,),
    ),
    Ratio("Deno on lavapipe, share of our WASM's rate", "speed", "deno-f32", "cpu", least=0.15, channels=(5,)),
    Ratio("Deno on lavapipe, share of our WASM's rate", "speed", "deno-f32", "cpu", least=0.20, channels=(16,)),
    Ratio(
        "WebGPU memory, in activation volumes",
        "allocated_bytes",
        "webgpu",
        _volume_bytes(16),
        most=1.25,
        sizes=(256,),
        channels=(16,),
    ),
    Ratio("WebGPU memory, GB", "allocated_bytes", "webgpu", 1e9, most=1.35, sizes=(256,), channels=(16,)),
    Ratio(
        "WebGPU memory with float16 storage, GB",
        "allocated_bytes",
        "deno-f16",
        1e9,
        most=0.7,
        sizes=(256,),
        channels=(16,),
    ),
    Ratio("WebGL2 over TF.js WebGL, SwiftShader", "speed", "webgl2", "tfjs-webgl", least=5, sizes=(64,)),
    Ratio(
        "WebGL2 over TF.js WebGL, llvmpipe", "speed", "webgl2-llvmpipe", "tfjs-webgl-llvmpipe", least=5, sizes=(256,)
    ),
    Finishes("WebGL2 finishes", "webgl2-llvmpipe", 256, 16),
    Ratio("CPU over onnxruntime-web WASM", "speed", "cpu", "ort-wasm", least=2.4, aim=4, channels=(5,)),
    Ratio("CPU over onnxruntime-web WASM", "speed", "cpu", "ort-wasm", least=1.4, aim=2.5, channels=(16,)),
    Ratio("CPU in the browser over onnxruntime in Python", "speed", "cpu", "ort-python", least=1, channels=(5,)),
    Ratio("CPU in the browser over onnxruntime in Python", "speed", "cpu", "ort-python", least=0.7, channels=(16,)),
    Ratio("CPU's peak memory over onnxruntime-web WASM's", "peak_bytes", "cpu", "ort-wasm", most=0.6),
    Finishes("CPU finishes within WebAssembly's 4 GiB", "cpu", 256, 26),
    Ratio("meshnet-predict's own kernel over onnxruntime", "speed", "predict-native", "ort-python", least=1.3),
)

#: Lower bounds of the share of equal voxels and of the Dice per label, for float32 and float16 storage.
LABELS_F32, LABELS_F16 = (0.9999, 0.999), (0.999, 0.995)


def must_finish(runtime: str, channels: int, size: int) -> bool:
    """Whether a target needs this cell to run to its end, or needs its memory, which only a whole run measures."""
    return any(
        target.ours == runtime
        and (
            (target.channels, target.size) == (channels, size)
            if isinstance(target, Finishes)
            else target.quantity == "allocated_bytes" and channels in target.channels and size in target.sizes
        )
        for target in TARGETS
    )


def check_targets(cells: Sequence[Cell], f16_ids: Sequence[str], ours: Sequence[str]) -> list[Line]:
    """One line per target, size and number of channels."""
    table = {(cell.runtime, cell.channels, cell.size): cell for cell in cells}
    lines: list[Line] = []
    for target in TARGETS:
        if isinstance(target, Finishes):
            lines.append(_finishes(target, table))
        else:
            lines.extend(_ratios(target, table))
    return [*lines, *_labels(cells, f16_ids, ours)]


def _ratios(target: Ratio, table: Mapping[tuple[str, int, int], Cell]) -> Iterator[Line]:
    wanted = f"≥ {target.least:g}" if target.least is not None else f"≤ {target.most:g}"
    if target.aim is not None:
        wanted += f" (aim {target.aim:g})"
    pairs = {
        (channels, size): pair
        for (runtime, channels, size), ours in table.items()
        if runtime == target.ours
        and (not target.channels or channels in target.channels)
        and (pair := _pair(target, ours, table)) is not None
    }
    sizes = target.sizes or (max((size for _, size in pairs), default=0),)
    chosen = [(place, pair) for place, pair in sorted(pairs.items()) if place[1] in sizes]
    if not chosen:
        places = " / ".join(f"{size}³" for size in target.sizes) or "any size"
        channels = "/".join(map(str, target.channels)) or "any"
        yield Line(target.text, f"{places}, {channels} channels", "not in this run", wanted=wanted)
    for (wide, size), (ratio, estimated) in chosen:
        good = ratio >= target.least if target.least is not None else ratio <= (target.most or 0)
        note = "estimated cell" if estimated else ""
        outcome: Outcome = "reached" if good else "not reached"
        yield Line(target.text, f"{size}³, {wide} channels", outcome, ratio, wanted, note)


def _pair(target: Ratio, ours: Cell, table: Mapping[tuple[str, int, int], Cell]) -> tuple[float, bool] | None:
    """The ratio (for speed: their seconds over ours), and whether either value is an estimate."""
    other = table.get((target.other, ours.channels, ours.size)) if isinstance(target.other, str) else None
    if isinstance(target.other, str) and other is None:
        return None
    value: Callable[[Cell], float | None] = {
        "speed": lambda cell: None if cell.seconds is None else 1 / cell.seconds,
        "gflops": lambda cell: cell.gflops,
        # A partial run allocates less than a whole one.
        "peak_bytes": lambda cell: cell.peak_bytes if cell.status == "measured" else None,
        "allocated_bytes": lambda cell: cell.allocated_bytes if cell.status == "measured" else None,
    }[target.quantity]
    mine = value(ours)
    theirs = target.other if isinstance(target.other, float | int) else value(other) if other else None
    if not mine or not theirs:
        return None
    return mine / theirs, any(cell is not None and cell.status != "measured" for cell in (ours, other))


def _finishes(target: Finishes, table: Mapping[tuple[str, int, int], Cell]) -> Line:
    where = f"{target.size}³, {target.channels} channels"
    cell = table.get((target.ours, target.channels, target.size))
    if cell is None or cell.status in ("not run", "predicted"):
        return Line(target.text, where, "not in this run")
    # A run stopped at the cap did not fail, but did not finish either.
    if cell.status == "extrapolated":
        return Line(target.text, where, "not in this run", note="stopped at the cap; `make bench-full` has none")
    return Line(target.text, where, "reached" if cell.status == "measured" else "not reached", note=cell.note)


def _labels(cells: Sequence[Cell], f16_ids: Sequence[str], ours: Sequence[str]) -> Iterator[Line]:
    """Lines for float32 and for float16 storage; the note names the cells below the bounds."""
    for text, f16, (share, dice) in (
        ("labels equal PyTorch's, every engine of ours", False, LABELS_F32),
        ("the labels with float16 storage (trained networks have fewer ties than these random ones)", True, LABELS_F16),
    ):
        wanted = f"≥ {100 * share:g} % and Dice ≥ {dice:g}"
        compared = [
            (cell, cell.agreement)
            for cell in cells
            if cell.agreement is not None and cell.runtime in ours and (cell.runtime in f16_ids) == f16
        ]
        if not compared:
            yield Line(text, "all cells", "not in this run", wanted=wanted)
            continue
        wrong = [cell for cell, agreement in compared if agreement < share or (cell.dice_min or 0) < dice]
        note = ", ".join(f"{cell.runtime} {cell.model} {cell.size}³" for cell in wrong)
        worst = min(agreement for _, agreement in compared)
        yield Line(text, f"{len(compared)} cells", "not reached" if wrong else "reached", worst, wanted, note)
