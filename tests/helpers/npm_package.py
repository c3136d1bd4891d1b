"""The npm package: built, packed, and installed into an empty project without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.deno import DENO
from tests.helpers.locks import one_process_at_a_time
from tests.helpers.paths import REPO

STATIC = REPO / "static"
EXAMPLES = STATIC / "package" / "examples"


@dataclass(frozen=True)
class Packed:
    """The archive that `npm pack` wrote, with its bytes packed and unpacked."""

    archive: Path
    size: int
    unpacked_size: int


def pack(folder: Path) -> Packed:
    """Build the package and pack it into `folder`."""
    with one_process_at_a_time("npm-package"):
        _npm(STATIC, "run", "package")
        (packed,) = json.loads(_npm(STATIC / "dist-package", "pack", "--json", "--pack-destination", str(folder)))
    return Packed(folder / packed["filename"], packed["size"], packed["unpackedSize"])


def install(packed: Packed, project: Path) -> Path:
    """Install the archive into the folder `project`, which is made, without asking any registry. Returns `project`."""
    project.mkdir(parents=True, exist_ok=True)
    if not (project / "package.json").exists():
        (project / "package.json").write_text('{"private": true, "type": "module"}', encoding="utf-8")
    _npm(project, "install", "--offline", "--no-audit", "--no-fund", "--no-save", str(packed.archive))
    return project


def run_program(runtime: str, program: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program under "node" or "deno", in the program's folder."""
    deno = [str(DENO), "run", "--no-lock", "--allow-read", "--allow-write", "--allow-env", "--unstable-webgpu"]
    command = ["node"] if runtime == "node" else deno
    return subprocess.run(
        [*command, program, *arguments], cwd=program.parent, capture_output=True, text=True, check=False
    )


def _npm(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        ["npm", "--silent", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.fail(f"npm {' '.join(arguments)} failed in {folder}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout
