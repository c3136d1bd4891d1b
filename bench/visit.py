"""One visit: start a runtime, run a model once, repeat it warm if time allows, and stop the runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.inputs import Model
from bench.runtimes import Runtime


@dataclass(frozen=True)
class Setting:
    """Settings of a whole run of the bench."""

    work: Path
    site: Path
    threads: int
    cap_s: float | None  # None: no cap
    runs_per_visit: int = 3

    @property
    def warm_within_s(self) -> float:
        """Seconds after the first run's start by which any further run of the visit must end."""
        return 60.0 if self.cap_s is None else self.cap_s / 2


@dataclass(frozen=True)
class Job:
    """The task of a visit: run `model`, cut after `layers` layers (None: whole), on a cube of `size` voxels per edge,
    for at most `cap_s` seconds."""

    runtime: Runtime
    model: Model
    size: int
    cap_s: float | None
    layers: int | None = None

    @property
    def part(self) -> Model:
        return self.model.first_layers(self.layers)

    @property
    def hard_s(self) -> float:
        """Seconds after which the runtime is killed: a call that can't be stopped, or a start that hangs."""
        return 7 * 86400.0 if self.cap_s is None else 2 * self.cap_s + 60


@dataclass
class Visit:
    """Result of a visit. share: the part of the network's multiply-adds that the times cover, 0 to 1."""

    first_s: float | None = None
    warm_s: list[float] = field(default_factory=list)
    setup_s: float | None = None
    share: float = 1.0
    layers: int | None = None  # layers covered; None: all
    allocated_bytes: int | None = None
    largest_bytes: int | None = None
    peak_bytes: int | None = None
    labels: NDArray[np.uint8] | None = None  # [i, j, k]
    device: str = ""
    error: str | None = None
    timed_out: bool = False


def visit_from_report(report: dict[str, Any], job: Job, labels: NDArray[np.uint8] | None) -> Visit:
    """Convert the report that a page, Deno or Python child writes (times in milliseconds) to a Visit."""
    from bench.estimate import prefix_share

    visit = Visit(
        allocated_bytes=report.get("allocatedBytes") or None,
        largest_bytes=report.get("largestBytes") or None,
        peak_bytes=report.get("peakBytes") or None,
        device=report.get("device") or "",
        error=report["error"],
    )
    if report.get("setupMs") is not None:
        visit.setup_s = report["setupMs"] / 1e3
    reached = report.get("reached")
    if report["error"] == "timeout":
        visit.timed_out = True
        visit.error = "no result within the time allowed"
    elif report["error"] == "cap" and reached and reached["share"] > 0:
        visit.first_s, visit.share = reached["milliseconds"] / 1e3, reached["share"]
        visit.layers, visit.error = reached["layers"], None
    elif report["error"] is None:
        first, *warm = (ms / 1e3 for ms in report["runsMs"])
        visit.first_s, visit.warm_s = first, warm
        visit.labels = labels if job.layers is None else None
        if job.layers is not None:
            visit.share, visit.layers = prefix_share(job.model.architecture, job.layers), job.layers
    elif report["error"] == "cap":
        visit.timed_out, visit.error = True, "not a single step finished within the cap"
    return visit
