"""A cell of the table: measured by visits, or estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bench.estimate import HOPELESS_CAPS, Known, gflops, longest_prefix, predict, whole_from_part
from bench.inputs import Model
from bench.runtimes import Runtime
from bench.visit import Visit

#: measured: ran to the end. extrapolated: scaled from its first layers by multiply-adds. predicted: not started, scaled
#: from another cell of the same runtime.
Status = Literal["measured", "extrapolated", "predicted", "failed", "not run"]


@dataclass
class Cell:
    """One runtime, model and size. agreement: share of voxels with PyTorch's label; dice_min: Dice of the worst
    label."""

    runtime: str
    model: str
    channels: int
    size: int
    status: Status = "not run"
    seconds: float | None = None
    warm: bool = False  # False: no warm run; `seconds` is that of the first run and includes compiling
    first_s: float | None = None
    setup_s: float | None = None
    gflops: float | None = None
    allocated_bytes: int | None = None
    largest_bytes: int | None = None
    peak_bytes: int | None = None
    agreement: float | None = None
    dice_min: float | None = None
    device: str = ""
    note: str = ""
    runs_s: list[list[float]] = field(default_factory=list)  # per visit: the first run, then the warm ones

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Schedule:
    """How to run a cell: cut after `layers` layers, whole (None), or not at all (then `cell` is the result)."""

    layers: int | None = None
    cell: Cell | None = None


def schedule_cell(runtime: Runtime, model: Model, size: int, known: Sequence[Known], cap_s: float | None) -> Schedule:
    """Decide from the times of the same runtime's finished cells. Without a cap every cell is run whole."""
    macs = model.macs(size)
    guess = predict(known, model.name, size, macs)
    if guess is None or cap_s is None:
        return Schedule()
    expected_s, source = guess
    if expected_s > HOPELESS_CAPS * cap_s:
        cell = blank(runtime, model, size)
        cell.status, cell.seconds = "predicted", expected_s
        cell.gflops = gflops(model.architecture, size, expected_s)
        cell.note = f"not started: scaled by work from {source.model} at {source.size}³"
        return Schedule(cell=cell)
    if runtime.capping == "prefix":
        return Schedule(layers=longest_prefix(model.architecture, expected_s, cap_s))
    return Schedule()


def blank(runtime: Runtime, model: Model, size: int, note: str = "") -> Cell:
    return Cell(runtime.id, model.name, model.architecture.channels, size, note=note)


def cell_from_visits(
    runtime: Runtime, model: Model, size: int, visits: Sequence[Visit], wanted: NDArray[np.uint8] | None
) -> Cell:
    """The cell of these visits: its fastest run, extrapolated if partial, or the error of a failed one."""
    cell = blank(runtime, model, size)
    good = [visit for visit in visits if visit.error is None and visit.first_s is not None]
    cell.allocated_bytes = _most(visit.allocated_bytes for visit in visits)
    cell.largest_bytes = _most(visit.largest_bytes for visit in visits)
    cell.peak_bytes = _most(visit.peak_bytes for visit in visits)
    cell.device = next((visit.device for visit in visits if visit.device), "")
    if not good:
        cell.status = "failed"
        cell.note = next((visit.error for visit in visits if visit.error), "no result")
        return cell
    cell.runs_s = [[visit.first_s, *visit.warm_s] for visit in good if visit.first_s is not None]
    cell.warm = any(len(runs) > 1 for runs in cell.runs_s)
    cell.first_s = min(first for first, *_ in cell.runs_s)
    cell.setup_s = min((visit.setup_s for visit in good if visit.setup_s is not None), default=None)
    best, share = min(seconds for runs in cell.runs_s for seconds in runs), good[0].share
    cell.seconds = whole_from_part(best, share)
    cell.gflops = gflops(model.architecture, size, cell.seconds)
    if share < 1:
        cell.status = "extrapolated"
        layers = good[0].layers
        cell.note = (
            f"from {layers} of its {len(model.architecture.dilations) + 1} layers, {100 * share:.0f} % of the work"
            if layers
            else f"from {100 * share:.1f} % of the work, within the first layer"
        )
        cell.first_s = None
        return cell
    cell.status = "measured"
    labels = next((visit.labels for visit in good if visit.labels is not None), None)
    if labels is not None and wanted is not None:
        cell.agreement, cell.dice_min = agreement(labels, wanted)
    failures = [visit.error for visit in visits if visit.error]
    if failures:
        cell.note = f"another visit failed: {failures[0]}"
    return cell


def known_from(cell: Cell, macs: float) -> Known | None:
    """The time that predicts later cells; None if the cell has none."""
    if cell.status not in ("measured", "extrapolated") or cell.seconds is None:
        return None
    return Known(cell.model, cell.size, macs, cell.seconds)


def agreement(got: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> tuple[float, float]:
    """Share of voxels with the same label, 0 to 1, and the lowest Dice of any label."""
    labels = np.union1d(np.unique(got), np.unique(wanted))
    dice = [2 * np.sum((got == k) & (wanted == k)) / (np.sum(got == k) + np.sum(wanted == k)) for k in labels]
    return float(np.mean(got == wanted)), float(min(dice))


def _most(values: Any) -> int | None:
    return max((value for value in values if value is not None), default=None)
