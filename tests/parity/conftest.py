"""The site's volume code, run under Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.helpers.parity.prepared import Jobs, Site
from tests.helpers.paths import REPO


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Runs jobs (see volume_cli.mjs) with the site's own code, bundled once."""
    node = shutil.which("node")
    assert node is not None, "node is missing; run `make test`, or put Node on PATH"
    out = tmp_path_factory.mktemp("site")
    vite = REPO / "static/node_modules/vite/bin/vite.js"
    config = REPO / "tests" / "helpers" / "parity" / "vite.config.mjs"
    subprocess.run(
        [node, vite, "build", "--config", config, "--outDir", out, "--emptyOutDir"], check=True, cwd=REPO / "static"
    )

    def run(jobs: Jobs) -> list[dict[str, Any]]:
        done = subprocess.run(
            [node, out / "volume_cli.mjs"], input=json.dumps(jobs), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        results: list[dict[str, Any]] = json.loads(done.stdout)
        return results

    return run
