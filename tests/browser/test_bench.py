"""The bench itself, on a volume so small that it takes seconds: our WebAssembly beside onnxruntime-web's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.browser.serving import DIST, build_site
from tests.helpers.paths import REPO


def test_two_runtimes_give_a_table_with_equal_labels(tmp_path: Path) -> None:
    build_site()

    selection = "--sizes 16 --channels 5 --only cpu,cpu-1,ort-wasm --rounds 1 --cap 60"
    # A separate process: Playwright can be started once per process, and other tests of this one use it.
    command = [sys.executable, "-m", "bench", *selection.split(), "--out", str(tmp_path), "--site", str(DIST)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert set(result) == {"machine", "settings", "cells", "targets"}
    assert result["machine"]["cores"] >= 1
    ours, theirs, alone = result["cells"]
    assert [ours["runtime"], theirs["runtime"], alone["runtime"]] == ["cpu", "ort-wasm", "cpu-1"]
    assert alone["device"].startswith("1 thread,")
    for cell in (ours, theirs, alone):
        assert (cell["status"], cell["warm"], cell["note"]) == ("measured", True, "")
        assert cell["first_s"] > 0
        assert cell["seconds"] > 0
        assert cell["agreement"] == 1
        assert cell["peak_bytes"] > cell["allocated_bytes"] >= cell["largest_bytes"] > 0
        assert len(cell["runs_s"][0]) == 3
    ratio = next(line for line in result["targets"] if line["text"].startswith("CPU over") and line["value"])
    assert ratio["value"] == pytest.approx(theirs["seconds"] / ours["seconds"])
    table = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert table.count("| meshnet-5 | 16³ |") == 3
