"""The parts of the report: each has a time budget, runs in child processes, and fails alone."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.deno import REPO


class NotHereError(Exception):
    """A part that this machine can't run, because a package or a device is missing; not a failure."""


@dataclass(frozen=True)
class Setting:
    """Settings of a whole report.

    size: edge in voxels of the volumes; baseline_size: the same for the training steps of the baselines. models: names
    of the cases. device: of PyTorch. steps: training steps timed. peak_s: least seconds of a dispatch that measures a
    peak. work: folder for inputs and results of the parts.
    """

    work: Path
    size: int
    baseline_size: int
    models: tuple[str, ...]
    networks: tuple[str, ...]
    device: Literal["cpu", "cuda"]
    peak_s: float
    steps: int


@dataclass
class Outcome:
    """Result of one part. status: `done`, `failed` or `not run`; why: of the latter two. rows: its measurements."""

    name: str
    status: str = "done"
    why: str = ""
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)


class Clock:
    """The time that a part may still take."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left_s(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def over(self) -> bool:
        return self.left_s() < 1


#: Adds a row to the part's result.
Add = Callable[[dict[str, Any]], None]
#: Measures a part. Rows that it has added count even where it raises an exception afterwards.
Measure = Callable[[Setting, Clock, Add], None]


def run_part(name: str, measure: Measure, setting: Setting, seconds: float) -> Outcome:
    """Run one part within its budget; an exception becomes the reason of a failed part."""
    outcome, clock = Outcome(name), Clock(seconds)
    try:
        measure(setting, clock, outcome.rows.append)
    except NotHereError as error:
        outcome.status, outcome.why = "not run", str(error)
    except Exception as error:
        outcome.status, outcome.why = "failed", f"{type(error).__name__}: {error}"
    outcome.seconds = round(clock.seconds - clock.left_s(), 1)
    return outcome


@dataclass(frozen=True)
class Ended:
    """A child process that has ended. why: empty where its exit code was 0."""

    why: str
    output: str


def run_child(command: Sequence[str], clock: Clock, *, environment: Mapping[str, str], limit_s: float = 3600) -> Ended:
    """Run a child process for at most `limit_s` seconds, and no longer than the part may take."""
    limit_s = min(limit_s, clock.left_s())
    try:
        done = subprocess.run(
            command,
            cwd=REPO,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit_s,
            env=dict(environment),
        )
    except subprocess.TimeoutExpired:
        return Ended(f"stopped after {limit_s:.0f} s, its share of the time", "")
    if done.returncode == 0:
        return Ended("", done.stdout)
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    code = f"killed by signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    return Ended(f"{code}: {lines[-1] if lines else 'no message'}", done.stdout)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON lines that a child has written so far; an unfinished last line is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows
