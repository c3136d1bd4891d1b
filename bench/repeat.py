"""Time the first and the warm runs of a Python runtime. Imports only NumPy, so that brainchop's environment can use
it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def repeated(
    open_runtime: Callable[[], Callable[[Any], Any]], image: Any, at_most: int, within_s: float
) -> tuple[dict[str, Any], Any]:
    """Report (times in milliseconds) and labels. Repeats the run up to `at_most` times, as long as the next one is
    expected to end within `within_s` seconds of the first one's start."""
    begin = time.perf_counter()
    run = open_runtime()
    setup_ms = (time.perf_counter() - begin) * 1e3
    runs_ms: list[float] = []
    first = time.perf_counter()
    while True:
        start = time.perf_counter()
        labels = run(image)
        runs_ms.append((time.perf_counter() - start) * 1e3)
        if len(runs_ms) >= at_most or time.perf_counter() - first + runs_ms[-1] / 1e3 > within_s:
            return {"error": None, "runsMs": runs_ms, "setupMs": setup_ms}, labels


def write_result(folder: Path, measure: Callable[[], tuple[dict[str, Any], Any]]) -> None:
    """Write labels.u8 and report.json; an exception becomes the report's error."""
    try:
        report, labels = measure()
        np.asarray(labels).astype(np.uint8).tofile(folder / "labels.u8")
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        report = {"error": f"{type(error).__name__}: {lines[0]}"}
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
