"""Deno, the WebGPU engine as plain modules, and the Vulkan driver that both run on."""

from __future__ import annotations

import subprocess
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
DENO = REPO / "bench" / "node_modules" / "@deno" / "linux-x64-glibc" / "deno"
#: What `vite build -c vite.engine.config.ts` writes.
ENGINE = REPO / "static" / "dist-engine"
#: Runs one trial of the engine on the files of a folder.
TRIAL = REPO / "tests" / "engine" / "run_deno.ts"


def lavapipe_driver() -> str | None:
    """Path of Mesa's software Vulkan driver; None if it is not installed."""
    drivers = sorted(Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json"))
    return str(drivers[0]) if drivers else None


def build_deno_engine() -> str | None:
    """Build the engine as plain modules. Returns the reason if that is impossible, else None."""
    if not DENO.exists():
        return "Deno is missing; run `make bench`, which installs it (Linux on x64 only)"
    if lavapipe_driver() is None:
        return "Mesa's Vulkan driver is not installed (mesa-vulkan-drivers)"
    command = ["npx", "vite", "build", "--config", "vite.engine.config.ts", "--logLevel", "error"]
    done = subprocess.run(command, cwd=REPO / "static", capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else f"building the engine failed: {done.stderr.strip()[-300:]}"


def trial_command(folder: Path) -> list[str]:
    """The command that runs the trial of `folder` (tests/engine/run_deno.ts says which files it holds)."""
    return [str(DENO), "run", "--allow-all", "--unstable-webgpu", "--no-lock", str(TRIAL), str(ENGINE), str(folder)]
