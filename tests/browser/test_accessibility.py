"""axe finds no violation in any state of the page, in light and in dark, on a desktop and on a phone."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import expect

from meshnet.scan.nifti import read_scan
from tests.helpers.browser.accessibility import AXE, assert_accessible
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.page_clock import PAGE_CLOCK, stop_clock_after
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import drop, head, segment, status, wait_for, wait_until_listed, write_model, write_scan
from tests.helpers.browser.visits import PATIENCE_MS
from tests.helpers.dicom_series import as_echoes, write_series
from tests.helpers.heads import head as dicom_head


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tissue", dilations=(1, 2, 4, 8, 4, 2, 1))
    return folder


@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_from_the_first_visit_to_the_comparison(
    open_page: OpenPage, url: str, tmp_path: Path, width: int
) -> None:
    page = open_page("/", flags=WEBGL2, url=url)
    page.set_viewport_size({"width": width, "height": 780})
    wait_until_listed(page, "tissue")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert_accessible(page, "empty")

    scan = write_scan(tmp_path / "sub-01.nii.gz")
    drop(page, scan)
    wait_for(page, "ready")
    assert_accessible(page, "a scan is open")

    segment(page, "tissue")
    page.get_by_test_id("backend").get_by_text("Details").click()
    page.get_by_text("Diagnostics", exact=True).click()
    assert_accessible(page, "a result")

    mask = tmp_path / "mask.nii.gz"
    affine = read_scan(scan).affine_vox2ras
    nib.save(nib.Nifti1Image((head() > 500).astype(np.uint8), affine), mask)
    page.get_by_test_id("reference").set_input_files(mask)
    expect(page.get_by_test_id("comparison")).to_be_visible()
    assert_accessible(page, "a comparison")

    drop(page, write_scan(tmp_path / "sub-02.nii.gz"), write_scan(tmp_path / "sub-03.nii.gz", head((33, 39, 31))))
    wait_for(page, "ready")
    page.get_by_test_id("run-all").click()
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", "finished")
    page.get_by_test_id("show-summary").click()
    assert_accessible(page, "the table of all scans")
    page.get_by_role("button", name="Close").click()

    four = tmp_path / "four.nii.gz"
    nib.save(nib.Nifti1Image(np.stack([head()] * 3, axis=-1), affine), four)
    drop(page, four)
    expect(page.get_by_test_id("frame")).to_be_visible()
    assert_accessible(page, "the question for a frame")

    volumes = [write_series(tmp_path / "series", data=dicom_head(), volume=n) for n in (1, 2)]
    as_echoes(volumes)
    drop(page, *volumes[0], *volumes[1])
    expect(page.get_by_test_id("series")).to_have_count(2)
    assert_accessible(page, "the question for a series")

    broken = tmp_path / "broken.nii"
    broken.write_bytes(b"no scan")
    drop(page, broken)
    expect(status(page)).to_contain_text("broken.nii: not a NIfTI")
    assert_accessible(page, "a refused file")

    page.evaluate("() => { StorageManager.prototype.getDirectory = () => Promise.reject(new Error('denied')); }")
    page.get_by_test_id("keep").click()
    expect(page.get_by_test_id("keep-problem")).to_contain_text("until the page is closed")
    assert_accessible(page, "scans that can't be kept")


#: Holds the call that `window.held` names until `window.release()`; writes down what is said in the live regions.
HOLD_AND_HEAR = """() => {
  window.held = null;
  const post = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (message, transfer) {
    if (message?.call !== window.held) return post.call(this, message, transfer);
    window.release = () => { window.held = null; post.call(this, message, transfer); };
  };
  window.heard = [];
  for (const live of document.querySelectorAll('[role=status], [aria-live]')) {
    new MutationObserver(() => { window.heard.push(live.textContent); })
      .observe(live, { childList: true, characterData: true, subtree: true });
  }
}"""


def test_axe_finds_nothing_while_something_is_under_way_and_while_a_result_is_edited(
    open_page: OpenPage, url: str, tmp_path: Path
) -> None:
    """A screen reader hears progress and result; nothing moves under reduced motion; 200 % zoom and a tablet."""
    page = open_page("/?backend=webgl2&lang=de", flags=WEBGL2, url=url)  # the longest words
    wait_until_listed(page, "tissue")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    page.evaluate(HOLD_AND_HEAR)

    page.evaluate("() => { window.held = 'load'; }")
    drop(page, write_scan(tmp_path / "sub-01.nii.gz"))
    expect(status(page)).to_have_text("sub-01.nii.gz wird geöffnet …")
    page.wait_for_function("() => window.release !== undefined")
    assert_accessible(page, "opening")
    page.evaluate("() => { window.release(); }")
    wait_for(page, "ready")

    page.evaluate("() => { window.held = 'run'; delete window.release; }")
    page.get_by_test_id("run").press("Enter")
    page.wait_for_function("() => window.release !== undefined")
    expect(page.get_by_test_id("cancel")).to_be_focused()
    assert_accessible(page, "running")
    page.evaluate("() => { window.release(); }")
    wait_for(page, "done")
    heard = page.evaluate("window.heard")
    assert any(text.startswith("Segmentierung mit ") for text in heard), heard
    assert any(text.endswith(" % fertig.") for text in heard), heard
    assert any(text.startswith("Fertig in ") for text in heard), heard

    for width, height in ((320, 640), (640, 400), (820, 1180), (1280, 800)):  # phone, 200 % zoom, tablet, desktop
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width

    segment(page)
    expect(page.get_by_test_id("layers")).to_be_visible()
    page.get_by_test_id("start-edit").press("Enter")
    expect(page.get_by_test_id("edit-tools")).to_be_visible()
    page.locator("[data-edit=grow]").click()
    assert_accessible(page, "editing, two results, mesh")
    still = page.evaluate(
        "() => [...document.querySelectorAll('*')].map((e) => getComputedStyle(e).transitionDuration)"
    )
    assert set(still) == {"0s"}
    assert page.evaluate("document.getAnimations().length") == 0

    page.evaluate("() => { window.held = 'run'; delete window.release; }")
    drop(page, write_scan(tmp_path / "sub-02.nii.gz"), write_scan(tmp_path / "sub-03.nii.gz", head((33, 39, 31))))
    wait_for(page, "ready")
    page.get_by_test_id("run-all").press("Enter")
    page.wait_for_function("() => window.release !== undefined")
    assert_accessible(page, "a running queue")
    page.get_by_test_id("pause").press("Enter")
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", "pausing")
    page.evaluate("() => { window.release(); }")
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", "paused")
    assert_accessible(page, "a paused queue")


def test_axe_finds_nothing_on_a_kiosk_and_in_its_warning(open_page: OpenPage, served: Served, models: Path) -> None:
    address = served("--models", str(models), "--kiosk", "--idle", "600")
    page = open_page("/?backend=cpu", flags=WEBGL2, url=address, script=PAGE_CLOCK)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    expect(page.get_by_test_id("full-screen")).to_be_visible(timeout=PATIENCE_MS)
    assert_accessible(page, "kiosk")
    page.mouse.move(5, 5)
    stop_clock_after(page, 590)
    expect(page.get_by_test_id("kiosk-warning")).to_be_visible(timeout=PATIENCE_MS)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    found = page.evaluate("async () => (await axe.run(document)).violations.map(({id}) => id)")
    assert found == []
