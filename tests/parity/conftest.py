"""The site's volume code, run under Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.parity.prepared import Jobs, Site
from tests.helpers.paths import REPO


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Runs jobs (see volume_cli.mjs) with the site's own code, bundled once, in one Node process."""
    node = shutil.which("node")
    assert node is not None, "node is missing; run `make test`, or put Node on PATH"
    out = tmp_path_factory.mktemp("site")
    vite = REPO / "static/node_modules/vite/bin/vite.js"
    config = REPO / "tests" / "helpers" / "parity" / "vite.config.mjs"
    subprocess.run(
        [node, vite, "build", "--config", config, "--outDir", out, "--emptyOutDir"], check=True, cwd=REPO / "static"
    )
    with NodeProcess([node, str(out / "volume_cli.mjs")], out / "stderr.txt") as process:
        yield process.run


class NodeProcess:
    """A Node process that answers a line of jobs with a line of results; started again after it has ended."""

    def __init__(self, command: list[str], stderr: Path) -> None:
        self._command = command
        self._stderr = stderr
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.communicate()

    def run(self, jobs: Jobs) -> list[dict[str, Any]]:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{json.dumps(list(jobs))}\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:  # a job threw
            self._process = None
            process.communicate()
            pytest.fail(self._stderr.read_text())
        results: list[dict[str, Any]] = json.loads(line)
        return results

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            with self._stderr.open("w") as stderr:
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True
                )
        return self._process
