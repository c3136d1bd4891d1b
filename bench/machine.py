"""Description of the machine and its software."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.browser import CHROMIUM
from bench.child import BRAINCHOP_PYTHON
from bench.server import BENCH

PYTHON_PACKAGES = ("numpy", "onnxruntime", "torch", "playwright")
NPM_PACKAGES = (
    "onnxruntime-web",
    "@tensorflow/tfjs",
    "@tensorflow/tfjs-backend-wasm",
    "@tensorflow/tfjs-backend-webgpu",
    "@deno/linux-x64-glibc",
)
#: Above this share of CPU time in use the machine is not idle; the share is taken over LOOK_S seconds. (The load
#: average would include the minutes before.)
IDLE_BUSY = 0.1
LOOK_S = 3.0


def describe() -> dict[str, Any]:
    """The machine, its software and its load; called before the first visit."""
    busy = busy_share(LOOK_S)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _field("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": cores(),
        "memory_gib": round(int((_field("/proc/meminfo", "MemTotal") or "0 kB").split()[0]) / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load_before": round(os.getloadavg()[0], 2),
        "busy_before": round(busy, 3),
        "idle": busy <= IDLE_BUSY,
        "commit": _said(["git", "-C", str(BENCH.parent), "describe", "--always", "--dirty"]),
        "versions": {
            "python": platform.python_version(),
            "chromium": _said([str(CHROMIUM), "--version"]),
            **{name: _python_version(name) for name in PYTHON_PACKAGES},
            **{name: _npm_version(name) for name in NPM_PACKAGES},
            "brainchop": _said([str(BRAINCHOP_PYTHON), "-c", _BRAINCHOP_VERSION]),
        },
    }


_BRAINCHOP_VERSION = (
    "from importlib.metadata import version as v; print(v('brainchop') + ' (tinygrad ' + v('tinygrad') + ')')"
)


def cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0))


def busy_share(seconds: float) -> float:
    """Share of CPU time in use during the next `seconds`, 0 to 1 (Linux)."""
    idle_before, total_before = _processor_times()
    time.sleep(seconds)
    idle, total = _processor_times()
    return 1 - (idle - idle_before) / max(1, total - total_before)


def _processor_times() -> tuple[int, int]:
    """Idle ticks and all ticks since the system started."""
    ticks = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


def _field(path: str, name: str) -> str | None:
    try:
        for line in Path(path).read_text().splitlines():
            if line.startswith(name):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return None


def _said(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "not installed"
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def _python_version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _npm_version(name: str) -> str:
    path = BENCH / "node_modules" / name / "package.json"
    return str(json.loads(path.read_text())["version"]) if path.exists() else "not installed"
