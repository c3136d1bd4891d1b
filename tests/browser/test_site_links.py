"""Links open scans of allowed origins; a page of an allowed origin embeds the site and gets labels back."""

from __future__ import annotations

import functools
import gzip
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser.chromium import NO_GPU, Browsers
from tests.helpers.browser.serving import build_site, free_port, plain_server, serve
from tests.helpers.browser.site import assert_same_labels, head, predicted, save, status, wait_for, write_model
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.itk_files import write_itk_volume
from tests.helpers.paths import REPO
from tests.helpers.scan_files import affine_of

#: Oblique, flipped, anisotropic.
AFFINE = affine_of(axes="PSR", rotation_deg=(12, -7, 31), voxel_size_mm=(4.1, 4.4, 5.3))


class LabHandler(http.server.SimpleHTTPRequestHandler):
    """A lab's file server that lets every page read its files; `/huge` states a length of 3 GB, `/moved` leads away."""

    away = ""

    def end_headers(self) -> None:
        if not self.path.startswith("/closed"):
            self.send_header("Access-Control-Allow-Origin", "*")
        super().end_headers()

    def do_GET(self) -> None:
        if self.path == "/huge.nii":
            self.send_response(200)
            self.send_header("Content-Length", str(3 * 10**9))
            self.end_headers()
        elif self.path == "/moved.nii.gz":
            self.send_response(302)
            self.send_header("Location", self.away)
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def lab_server(folder: Path, away: str = "") -> Iterator[str]:
    """Serves `folder` with CORS; yields its origin."""
    handler = type("Handler", (LabHandler,), {"away": away})
    bound = functools.partial(handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), bound) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tissue")
    write_model(folder, "other", channels=3)
    return folder


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Origin and folder of a lab's file server with one scan in three formats."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "closed").mkdir()
    nib.save(nib.Nifti1Image(head(), AFFINE), folder / "scan.nii.gz")
    shutil.copy(folder / "scan.nii.gz", folder / "closed" / "scan.nii.gz")
    write_itk_volume(folder / "scan.nrrd", head(), AFFINE, compressed=True)
    write_itk_volume(folder / "scan.mha", head(), AFFINE, compressed=True)
    (folder / "page.nii.gz").write_bytes(gzip.compress(b"<!doctype html><p>Please log in"))
    with lab_server(folder, away="http://localhost:9/scan.nii.gz") as origin:
        yield origin, folder


@pytest.fixture(scope="module")
def url(models: Path, lab: tuple[str, Path]) -> Iterator[str]:
    """The site; links may open scans of the lab."""
    build_site()
    with serve("--models", str(models), "--scan-origin", lab[0]) as address:
        yield address


@pytest.fixture
def visit(browsers: Browsers) -> Iterator[Any]:
    """`visit(address)` → a page; requests to other hosts are what these tests are about."""
    contexts = []

    def open_one(address: str) -> Page:
        context = browsers.launch(NO_GPU).new_context(accept_downloads=True, viewport={"width": 1280, "height": 900})
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.goto(address, wait_until="load")
        return page

    yield open_one
    for context in contexts:
        context.close()


def test_a_link_opens_a_scan_of_the_lab_and_segments_it_as_meshnet_predict_does(
    url: str, lab: tuple[str, Path], models: Path, visit: Any, tmp_path: Path
) -> None:
    origin, folder = lab
    page = visit(url)
    for name in ("scan.nii.gz", "scan.nrrd", "scan.mha"):
        page.goto(f"{url}/?backend=cpu&scan={origin}/{name}&model=other&run=1")
        wait_for(page, "done")
        assert page.get_by_test_id("model").input_value() == "other"
        out = tmp_path / name
        saved = save(page, "native", out)
        assert saved.name == "scan_other.nii.gz"
        labels = assert_same_labels(saved, predicted(models / "other", folder / name, out))
        assert len(np.unique(labels)) > 1


def test_a_link_may_name_several_scans_and_leave_the_run_to_the_visitor(
    url: str, lab: tuple[str, Path], visit: Any
) -> None:
    page = visit(f"{url}/?scan={lab[0]}/scan.nrrd&scan={lab[0]}/scan.mha")
    expect(page.get_by_test_id("studies").locator("tbody tr")).to_have_count(2, timeout=PATIENCE_MS)
    wait_for(page, "ready")
    page.goto(f"{url}/?scan=sample/sample_T1w.nii.gz")  # of the site's own origin, relative
    wait_for(page, "ready")
    expect(page.locator("#scan-summary")).to_contain_text("sample_T1w.nii.gz")


def test_links_that_cannot_be_followed_say_what_where_and_what_next(
    url: str, lab: tuple[str, Path], visit: Any
) -> None:
    origin = lab[0]
    cases = {
        "scan=http://localhost:9/a.nii": (
            f"http://localhost:9/a.nii: this page may fetch scans from {url}, {origin}, got http://localhost:9; "
            "ask the operator of this page for --scan-origin http://localhost:9"
        ),
        f"scan={origin}/missing.nii.gz": f"{origin}/missing.nii.gz: the server answered 404 File not found, expected",
        f"scan={origin}/huge.nii": f"{origin}/huge.nii: has 3.0 GB or more, expected at most 2.1 GB; download it",
        f"scan={origin}/page.nii.gz": "page.nii.gz: is a web page (HTML), not a scan; download the file itself",
        f"scan={origin}/closed/scan.nii.gz": f"it has to send Access-Control-Allow-Origin: {url}",
        # The page's security policy stops it there; the browser doesn't say more than that there was no answer.
        f"scan={origin}/moved.nii.gz": f"{origin}/moved.nii.gz: no answer",
        "scan=ftp://lab/a.nii": "?scan=ftp://lab/a.nii: expected an address such as scans/sub-01.nii.gz",
        "scan=sample/sample_T1w.nii.gz&model=nope": "There is no model nope here; expected one of tissue, other",
        "run=1": "?run=1: the link names no scan; add ?scan=URL",
        "scan=sample/sample_T1w.nii.gz&run=yes": "?run=yes: expected 1 (segment at once) or 0",
    }
    page = visit(url)
    for query, sentence in cases.items():
        page.goto(f"{url}/?{query}")
        expect(status(page)).to_have_attribute("data-state", "error", timeout=PATIENCE_MS)
        expect(status(page)).to_contain_text(sentence)
        expect(page.get_by_test_id("studies").locator("tbody tr")).to_have_count(0)


def test_a_kiosk_may_switch_links_and_frames_off(models: Path, lab: tuple[str, Path], visit: Any) -> None:
    arguments = ["--models", str(models), "--scan-origin", lab[0], "--embed-origin", lab[0]]
    with serve(*arguments, "--kiosk", "--links", "off", "--embed", "off") as address:
        page = visit(f"{address}/?scan=sample/sample_T1w.nii.gz&run=1")
        expect(status(page)).to_contain_text("?scan= is switched off on this page", timeout=PATIENCE_MS)
        policy = page.request.get(address).headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert lab[0] not in policy


def embedding(visit: Any, parent: str, meshnet: str) -> Page:
    return visit(f"{parent}/index.html?meshnet={meshnet}/%3Fbackend=cpu")  # type: ignore[no-any-return]


def test_the_example_page_sends_a_scan_and_gets_progress_volumes_and_labels(
    models: Path, lab: tuple[str, Path], visit: Any, tmp_path: Path
) -> None:
    port = free_port()
    parent = f"http://127.0.0.1:{port}"
    with (
        plain_server(REPO / "deploy" / "embed", port),
        serve("--models", str(models), "--embed-origin", parent, "--scan-origin", lab[0]) as meshnet,
    ):
        page = embedding(visit, parent, meshnet)
        said, start = page.locator("#said"), page.locator("#start")
        expect(start).to_be_enabled(timeout=PATIENCE_MS)
        heard = "() => { window.heard = []; addEventListener('message', ({ data }) => window.heard.push(data)); }"
        page.evaluate(heard)
        page.locator("#model").select_option("other")
        page.locator("#scan").set_input_files(lab[1] / "scan.mha")
        start.click()
        expect(said).to_contain_text("scan.mha: segmented by other in", timeout=PATIENCE_MS)
        messages = page.evaluate("window.heard.map(({ labels, ...rest }) => rest)")
        assert {m["type"] for m in messages} == {"meshnet:progress", "meshnet:result"}
        assert all(m["id"] == 1 for m in messages)
        assert any(m["fraction"] is not None for m in messages if m["type"] == "meshnet:progress")
        with page.expect_download() as download:
            page.locator("#labels").click()
        saved = tmp_path / download.value.suggested_filename
        download.value.save_as(saved)
        labels = assert_same_labels(saved, predicted(models / "other", lab[1] / "scan.mha", tmp_path))
        (result,) = [m for m in messages if m["type"] == "meshnet:result"]
        assert [v["voxels"] for v in result["volumes"]] == np.bincount(labels.ravel(), minlength=3).tolist()
        assert result["model"]["id"] == "other"
        page.screenshot(path=str(tmp_path / "embedded.png"))

        # By address; then what is refused, each with its reason.
        page.locator("#scan").set_input_files([])
        page.locator("#url").fill(f"{lab[0]}/scan.nrrd")
        start.click()
        expect(said).to_contain_text("scan.nrrd: segmented by other in", timeout=PATIENCE_MS)
        page.locator("#url").fill("http://localhost:9/a.nii")
        start.click()
        expect(said).to_contain_text(
            "refused: http://localhost:9/a.nii: this page may fetch scans from", timeout=PATIENCE_MS
        )
        send = """([message, origin]) => new Promise((resolve) => {
          addEventListener('message', ({ data }) => { if (data.type === 'meshnet:error') resolve(data); });
          document.getElementById('meshnet').contentWindow.postMessage(message, origin);
        })"""
        for message, reason, sentence in [
            ({"type": "meshnet:segment", "id": 9}, "invalid", "scan is not understood, expected { name, bytes }"),
            ({"type": "meshnet:nonsense", "id": 9}, "invalid", "type is meshnet:nonsense, expected meshnet:hello"),
            ({"type": "meshnet:segment", "id": 9, "scan": {"url": f"{lab[0]}/scan.mha"}, "model": "x"}, "refused",
             "There is no model x here"),
        ]:  # fmt: skip
            answer = page.evaluate(send, [message, meshnet])
            assert answer["id"] == 9
            assert answer["reason"] == reason
            assert sentence in answer["message"]


def test_other_origins_can_neither_embed_the_page_nor_be_heard(models: Path, visit: Any) -> None:
    allowed, stranger = free_port(), free_port()
    folder = REPO / "deploy" / "embed"
    with (
        plain_server(folder, stranger),
        serve("--models", str(models)) as closed,
        serve("--models", str(models), "--embed-origin", f"http://127.0.0.1:{allowed}") as other,
    ):
        for meshnet in (closed, other):
            page = embedding(visit, f"http://127.0.0.1:{stranger}", meshnet)
            page.wait_for_timeout(1500)
            # The browser shows its own page in the frame.
            assert all(not frame.url.startswith(meshnet) for frame in page.frames[1:])
            expect(page.locator("#start")).to_be_disabled()
        # A window that the site's page did not frame is not heard, even of an allowed origin.
        page = visit(other)
        assert (
            page.evaluate("""() => new Promise((resolve) => {
          addEventListener('message', ({ data }) => { if (data.type !== 'meshnet:hello') resolve('heard'); });
          postMessage({ type: 'meshnet:hello' }, location.origin);
          setTimeout(() => resolve('silent'), 1000);
        })""")
            == "silent"
        )
