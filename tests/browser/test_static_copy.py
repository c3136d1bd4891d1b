"""The static copy of the site, behind a file server that knows nothing of it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.serving import build_site, free_port, plain_server
from tests.helpers.browser.visits import (
    PATIENCE_MS,
    save_native,
    segment,
    wait_for_offline,
    write_models,
    write_scan,
)
from tests.helpers.paths import script


def export_site(out: Path, *models: Path) -> subprocess.CompletedProcess[str]:
    command = [script("meshnet-export"), *map(str, models), "--format", "site", "-o", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_copy_does_the_main_job_under_a_sub_path_with_threads(open_page: OpenPage, tmp_path: Path) -> None:
    build_site()
    models = write_models(tmp_path / "models", "small", "left-out")
    done = export_site(tmp_path / "public" / "demos" / "brain", models / "small")
    assert done.returncode == 0, done.stderr
    port = free_port()
    with plain_server(tmp_path / "public", port):
        url = f"http://127.0.0.1:{port}"
        page = open_page("/demos/brain/?backend=cpu", flags=NO_GPU, url=url, expected=("WebGL", "webgl"))
        # The first load has no isolation headers; the service worker reloads the page into them by itself.
        page.wait_for_function("() => crossOriginIsolated", timeout=PATIENCE_MS)
        wait_for_offline(page, "ready")
        segment(page, write_scan(tmp_path / "scan.nii.gz"))
        diagnostics = page.get_by_test_id("diagnostics").text_content() or ""
        assert "cross-origin isolated: yes" in diagnostics
        assert os.cpu_count() == 1 or re.search(r"\b(?:[2-9]|\d\d) threads", diagnostics), diagnostics
        listed = page.get_by_test_id("model").locator("option").all_inner_texts()
        assert listed == ["Small"]
        online = save_native(page)
    page.reload()
    segment(page, tmp_path / "scan.nii.gz")
    assert (save_native(page) == online).all()


def test_a_broken_model_leaves_no_copy_behind(tmp_path: Path) -> None:
    build_site()
    models = write_models(tmp_path / "models", "small")
    (models / "small" / "weights.safetensors").write_bytes(b"")
    done = export_site(tmp_path / "copy", models / "small")
    assert done.returncode == 2
    assert "SHA-256" in done.stderr
    assert not (tmp_path / "copy").exists()
