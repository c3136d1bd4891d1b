"""After one visit the site works without its server, and versions never mix."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from export.published import import_published
from meshnet.model.shipped import default_models
from tests.helpers.browser.chromium import NO_GPU, WEBGL2, WEBGPU, OpenPage
from tests.helpers.browser.serving import DIST, build_site, free_port, plain_server, serve
from tests.helpers.browser.visits import (
    PATIENCE_MS,
    open_scan,
    save_native,
    segment,
    wait_for_offline,
    write_models,
    write_scan,
)
from webapp.app import published_files
from webapp.catalogue import read_models
from webapp.offline import WORKER, kept_files, listed_files

SERVER = """
import sys, pathlib, uvicorn
from webapp.app import create_app
app = create_app([pathlib.Path(sys.argv[1])], site=pathlib.Path(sys.argv[2]))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), log_level="warning")
"""

#: Chromium's words for requests that find no server.
GONE = ("ERR_CONNECTION_REFUSED", "ERR_FAILED")
#: /healthz is where a test prepares the browser before the page is loaded; it names no icon.
NO_ICON = ("404 (Not Found)",)


@contextlib.contextmanager
def server(models: Path, site: Path, port: int) -> Iterator[None]:
    """A server of that built site on that port, so that another version can follow at the same address."""
    command = [sys.executable, "-c", SERVER, str(models), str(site), str(port)]
    with subprocess.Popen(command) as process:
        try:
            deadline = time.monotonic() + 180
            while True:
                with (
                    contextlib.suppress(OSError),
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5),
                ):
                    break
                assert process.poll() is None, "the server ended"
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_models(tmp_path / "models", "small")


def make_version(folder: Path, name: str) -> Path:
    """The built site with that name as `data-version` of its root element, and a file that no other version has."""
    build_site()
    shutil.copytree(DIST, folder, ignore=lambda _, names: [n for n in names if n.endswith((".html.br", ".html.gz"))])
    page = folder / "index.html"
    page.write_text(page.read_text().replace("<html ", f'<html data-version="{name}" '))
    (folder / "assets" / f"only-{name}.js").write_text("export {};\n")
    return folder


def version(page: Page) -> str | None:
    """The name that `make_version` gave the page's site."""
    return page.locator("html").get_attribute("data-version")


def test_after_one_visit_the_main_job_works_with_the_server_gone(
    open_page: OpenPage, shared_data: Path, tmp_path: Path
) -> None:
    """The published lesion model on the M2265 scan, on the CPU with its threads, without a server."""
    models = tmp_path / "models"
    import_published(shared_data / "models", models)
    with serve("--models", str(models)) as url:
        page = open_page("/?backend=cpu", flags=NO_GPU, url=url, expected=(*GONE, "WebGL", "webgl"))
        wait_for_offline(page, "ready")
    page.reload()
    wait_for_offline(page, "ready")
    assert page.evaluate("crossOriginIsolated"), "threads need the isolation headers offline too"
    segment(page, shared_data / "scans" / "M2265_T2w.nii.gz")
    saved = save_native(page)
    expected = np.asanyarray(nib.load(shared_data / "expected" / "M2265_T2w__brainchop_t2_lesion.nii.gz").dataobj)
    assert np.mean((saved > 0) == (expected > 0)) >= 0.9999
    assert abs(int((saved > 0).sum()) - 34_917) <= 5


@pytest.mark.parametrize(("backend", "flags"), [("webgpu", WEBGPU), ("webgl2", WEBGL2), ("cpu", NO_GPU)])
def test_every_engine_but_tfjs_runs_with_the_server_gone(
    open_page: OpenPage, tmp_path: Path, models: Path, backend: str, flags: Sequence[str]
) -> None:
    with serve("--models", str(models)) as url:
        page = open_page(f"/?backend={backend}", flags=flags, url=url, expected=(*GONE, "WebGL", "webgl"))
        wait_for_offline(page, "ready")
    page.reload()
    segment(page, write_scan(tmp_path / "scan.nii.gz"))
    assert page.get_by_test_id("backend").get_attribute("data-backend") == backend


def test_tfjs_is_not_kept_and_the_page_says_that_it_needs_the_network(
    open_page: OpenPage, tmp_path: Path, models: Path
) -> None:
    with serve("--models", str(models)) as url:
        page = open_page("/?backend=tfjs", flags=WEBGL2, url=url, expected=GONE)
        wait_for_offline(page, "ready")
        assert not any("tfjs" in address for address in kept_addresses(page))
    page.reload()
    expect(page.locator("#warnings")).to_contain_text("TensorFlow.js is not kept", timeout=PATIENCE_MS)
    open_scan(page, write_scan(tmp_path / "scan.nii.gz"))
    page.get_by_test_id("run").click()
    status = page.get_by_test_id("status")
    expect(status).to_have_attribute("data-state", "error", timeout=PATIENCE_MS)
    expect(status).to_contain_text("TensorFlow.js: failed: it could not be loaded. It is not kept for use without")


def kept_addresses(page: Page) -> list[str]:
    addresses: list[str] = []
    for name in page.evaluate("caches.keys()"):
        keys = "(name) => caches.open(name).then((cache) => cache.keys()).then((all) => all.map(({ url }) => url))"
        addresses += page.evaluate(keys, name)
    return addresses


def test_nothing_is_kept_that_is_never_used() -> None:
    """At most 8.7 MB with the models that ship and the published ones (where imported), 5.6 MB of these the site."""
    build_site()
    worker = published_files(read_models(default_models()), site=DIST)[WORKER].body
    kept = kept_files(worker)
    site = {path: size for path, size in kept.items() if not path.startswith(("models/", "api/"))}
    assert {"index.html", "sample/sample_T1w.nii.gz"} <= site.keys()
    assert [path for path in kept if re.search(r"tfjs|selftest|zarr|blosc|zstd|lz4|models/.*\.png", path)] == []
    assert sum(re.fullmatch(r"assets/tfjs-[\w-]{8}\.js", path) is not None for path in listed_files(worker)) == 1
    assert sum(site.values()) <= 5_600_000
    assert sum(kept.values()) <= 8_700_000


def test_an_update_waits_for_the_last_window_and_replaces_everything_at_once(
    open_page: OpenPage, tmp_path: Path, models: Path, port: int
) -> None:
    old, new = make_version(tmp_path / "old", "old"), make_version(tmp_path / "new", "new")
    url = f"http://127.0.0.1:{port}"
    scan = write_scan(tmp_path / "scan.nii.gz")
    with server(models, old, port):
        page = open_page("/?backend=cpu", flags=WEBGL2, url=url, expected=GONE)
        wait_for_offline(page, "ready")
    write_models(models, "another")
    with server(models, new, port):
        page.reload()
        assert version(page) == "old", "the page is the kept version until the new one is complete"
        wait_for_offline(page, "update")
        # The server has no file of the old version any more; what the old page still has to load is kept.
        assert page.evaluate("fetch('assets/only-old.js').then((r) => r.status)") == 200
        assert len(page.evaluate("fetch('api/models').then((r) => r.json())")["models"]) == 1, "the old catalogue"
        segment(page, scan)

        second = page.context.new_page()
        second.goto(url)
        assert version(second) == "old"
        page.get_by_test_id("apply-update").click()
        assert "other window" in wait_for_offline(page, "windows-open")
        second.close()
        page.reload()
        wait_for_offline(page, "update")
        page.get_by_test_id("apply-update").click()
        page.wait_for_function("() => document.documentElement.dataset.version === 'new'", timeout=PATIENCE_MS)
        wait_for_offline(page, "ready")
        assert len(page.evaluate("caches.keys()")) == 1, "the old version's files are gone"
    page.reload()
    assert version(page) == "new"
    assert len(page.evaluate("fetch('api/models').then((r) => r.json())")["models"]) == 2
    segment(page, scan)


def test_a_version_that_arrives_damaged_is_not_used(
    open_page: OpenPage, tmp_path: Path, models: Path, port: int
) -> None:
    """The server changes while the new version is being fetched: its hash does not match, the old one stays."""
    old, new = make_version(tmp_path / "old", "old"), make_version(tmp_path / "new", "new")
    url = f"http://127.0.0.1:{port}"
    with server(models, old, port):
        page = open_page(flags=WEBGL2, url=url, expected=GONE)
        wait_for_offline(page, "ready")
    with server(models, new, port):
        worker = urllib.request.urlopen(f"{url}/sw.js").read()
    (new / "sw.js").write_bytes(worker)
    (new / "assets" / "only-new.js").write_text("cut off")
    # A server that announces what it does not have: the list of before, another file.
    site = write_plain_site(tmp_path / "plain", new, models)
    with plain_server(site, port):
        page.reload()
        expect(page.get_by_test_id("offline")).to_contain_text("only-new.js", timeout=PATIENCE_MS)
        assert page.get_by_test_id("offline").get_attribute("data-state") == "ready"
        assert len(page.evaluate("caches.keys()")) == 1
    page.reload()
    assert version(page) == "old"


def write_plain_site(folder: Path, site: Path, models: Path) -> Path:
    """A static copy of a built site as it lies on disk, service worker included."""
    shutil.copytree(site, folder)
    shutil.copytree(models, folder / "models")
    (folder / "api").mkdir()
    (folder / "api" / "models").write_text("{}")
    return folder


def test_a_full_disk_costs_only_the_use_without_a_network(open_page: OpenPage, tmp_path: Path, models: Path) -> None:
    with serve("--models", str(models)) as url:
        page = open_page("/healthz", flags=WEBGL2, url=url, expected=NO_ICON)
        control: Any = page.context.new_cdp_session(page)
        control.send("Storage.overrideQuotaForOrigin", {"origin": url, "quotaSize": 100_000})
        page.goto(f"{url}/?backend=cpu")
        assert "no room for the" in wait_for_offline(page, "unavailable")
        assert page.evaluate("caches.keys()") == [], "a version is kept whole or not at all"
        segment(page, write_scan(tmp_path / "scan.nii.gz"))


@pytest.mark.parametrize(
    "private",
    [
        "delete Navigator.prototype.serviceWorker",
        "ServiceWorkerContainer.prototype.register = () => Promise.reject(new DOMException('denied', 'SecurityError'))",
    ],
)
def test_a_private_window_says_so_and_works(open_page: OpenPage, tmp_path: Path, models: Path, private: str) -> None:
    with serve("--models", str(models)) as url:
        page = open_page("/healthz", flags=WEBGL2, url=url, expected=NO_ICON)
        page.add_init_script(private)
        page.goto(f"{url}/?backend=cpu")
        assert "keeps nothing for later" in wait_for_offline(page, "unavailable")
        segment(page, write_scan(tmp_path / "scan.nii.gz"))


def test_the_page_can_be_installed(open_page: OpenPage, site_url: str) -> None:
    page = open_page(flags=WEBGL2, url=site_url)
    wait_for_offline(page, "ready")
    control: Any = page.context.new_cdp_session(page)
    manifest = control.send("Page.getAppManifest")
    assert manifest["errors"] == []
    assert manifest["url"] == f"{site_url}/manifest.webmanifest"
    reasons = control.send("Page.getInstallabilityErrors")["installabilityErrors"]
    # Playwright's windows are incognito, and only that stands in the way.
    assert {reason["errorId"] for reason in reasons} <= {"in-incognito"}
