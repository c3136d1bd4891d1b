"""Scans and results that the browser keeps: they come back, are forgotten, and where keeping fails nothing is lost."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from tests.helpers.bright_model import write_two_bright_models
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import counts, drop, head, save, segment, wait_for, wait_until_listed, write_scan
from tests.helpers.browser.visits import PATIENCE_MS

#: Paths and sizes of all files in the private file system of the site.
STORED = """async () => {
  const found = {};
  const walk = async (folder, path) => {
    for await (const [name, handle] of folder.entries()) {
      if (handle.kind === 'directory') await walk(handle, `${path}${name}/`);
      else found[path + name] = (await handle.getFile()).size;
    }
  };
  await walk(await navigator.storage.getDirectory(), '');
  return found;
}"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_two_bright_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def page(open_page: OpenPage, url: str) -> Page:
    return open_page("/?backend=cpu", flags=WEBGL2, url=url)


def rows(page: Page) -> Locator:
    return page.get_by_test_id("studies").locator("tbody tr")


def keep(page: Page) -> None:
    page.get_by_test_id("keep").check()


def wait_until_kept(page: Page, count: int) -> None:
    """Until that many scans are kept as they are now, so that a reload asks nothing."""
    expect(page.get_by_test_id("keep-said")).to_have_attribute("data-count", str(count), timeout=PATIENCE_MS)
    expect(page.get_by_test_id("keep-said")).to_have_attribute("data-state", "written", timeout=PATIENCE_MS)


def accept(page: Page) -> list[str]:
    """Says yes to every question; returns the list of what is asked."""
    asked: list[str] = []

    def yes(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.accept()

    page.on("dialog", yes)
    return asked


def stored(page: Page) -> dict[str, int]:
    found: dict[str, int] = page.evaluate(STORED)
    return found


def forget(page: Page) -> None:
    """Presses *Forget everything*; no store of the browser then holds anything of the visitor's."""
    page.get_by_test_id("forget").click()
    expect(page.locator("#forgotten")).to_have_text("Forgotten.", timeout=PATIENCE_MS)
    assert stored(page) == {}
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
    assert page.evaluate("indexedDB.databases()") == []
    expect(rows(page)).to_have_count(0)
    expect(page.get_by_test_id("keep")).not_to_be_checked()


def test_kept_scans_come_back_with_results_settings_and_edits_until_they_are_forgotten(
    page: Page, tmp_path: Path
) -> None:
    asked = accept(page)
    expect(page.get_by_test_id("keep")).not_to_be_checked()
    wait_until_listed(page, "joint")
    scans = [write_scan(tmp_path / "sub-01.nii.gz"), write_scan(tmp_path / "sub-02.nii.gz", head((33, 39, 31)))]
    drop(page, *scans)
    wait_for(page, "ready")
    segment(page, "joint")
    segment(page, "bright")
    page.get_by_label("Remove components below").check()
    wait_for(page, "done")
    page.get_by_test_id("start-edit").click()
    page.locator("[data-edit=smooth]").click()
    expect(page.get_by_test_id("edit-said")).to_contain_text("Done: smooth.", timeout=PATIENCE_MS)
    page.locator("[data-edit=close]").click()
    expect(page.locator("#results-heading")).to_have_text("Result of bright, edited")
    assert stored(page) == {}, "nothing is kept before the visitor says so"
    keep(page)
    wait_until_kept(page, 2)
    wanted, before = counts(page), save(page, "native", tmp_path).read_bytes()
    wait_until_kept(page, 2)  # that the result was saved is kept too

    page.reload()

    wait_for(page, "done")
    expect(rows(page).locator(".pick")).to_have_text(["sub-01", "sub-02"])
    expect(page.get_by_test_id("keep")).to_be_checked()
    expect(page.locator("#results-heading")).to_have_text("Result of bright, edited")
    expect(page.get_by_label("Remove components below")).to_be_checked()
    assert counts(page) == wanted
    assert save(page, "native", tmp_path).read_bytes() == before
    page.get_by_test_id("start-edit").click()
    page.locator("[data-edit=undo]").click()
    expect(page.get_by_test_id("edit-said")).to_contain_text("Undone: smooth.", timeout=PATIENCE_MS)
    page.locator("[data-edit=close]").click()
    page.get_by_role("radio", name="joint").check()
    wait_for(page, "done")
    expect(page.locator("#results-heading")).to_have_text("Result of joint")
    segment(page, "joint")  # the scan itself is there too
    wait_until_kept(page, 2)
    assert asked == []

    page.get_by_role("button", name="Remove sub-02.nii.gz").click()
    wait_until_kept(page, 1)
    forget(page)
    assert len(asked) == 1
    assert "Delete the 1 scan that this browser keeps" in asked[0]
    page.reload()
    wait_for(page, "idle")
    expect(rows(page)).to_have_count(0)


def test_a_second_window_keeps_nothing_and_can_forget_all(page: Page, tmp_path: Path) -> None:
    accept(page)
    keep(page)
    drop(page, write_scan(tmp_path / "sub-01.nii.gz"))
    wait_for(page, "ready")
    wait_until_kept(page, 1)
    second = page.context.new_page()
    accept(second)
    second.goto(page.url)
    expect(second.get_by_test_id("keep-problem")).to_contain_text("Another window", timeout=PATIENCE_MS)
    expect(rows(second)).to_have_count(0)
    second.get_by_test_id("keep").click()
    expect(second.get_by_test_id("keep")).not_to_be_checked(timeout=PATIENCE_MS)
    assert any(path.endswith("/study") for path in stored(second))

    second.get_by_test_id("model").select_option("joint")  # a setting, so that there is something to forget here too
    second.get_by_test_id("forget").click()
    expect(second.locator("#forgotten")).to_have_text("Forgotten.", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("keep")).not_to_be_checked(timeout=PATIENCE_MS)
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while stored(second) != {}:  # the first window may still have been writing
        assert time.monotonic() < deadline, stored(second)
        second.wait_for_timeout(100)
    expect(rows(page)).to_have_count(1)  # its file is the visitor's own


def test_without_room_the_page_says_so_and_the_result_stays(page: Page, url: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", stay)
    keep(page)
    wait_until_kept(page, 0)
    control: Any = page.context.new_cdp_session(page)
    control.send("Storage.overrideQuotaForOrigin", {"origin": url, "quotaSize": 1000})
    drop(page, write_scan(tmp_path / "sub-01.nii.gz"))
    wait_for(page, "ready")
    segment(page, "bright")
    expect(page.get_by_test_id("keep-problem")).to_contain_text("sub-01.nii.gz is not kept", timeout=PATIENCE_MS)
    assert sum(counts(page).values()) > 0
    page.evaluate("setTimeout(() => location.reload(), 0)")
    page.wait_for_timeout(500)
    assert asked == ["beforeunload"], "a result that is not kept would be lost"

    control.send("Storage.overrideQuotaForOrigin", {"origin": url})
    page.get_by_label("Remove components below").check()
    wait_until_kept(page, 1)
    expect(page.get_by_test_id("keep-problem")).to_be_hidden()


@pytest.mark.parametrize(
    "fault",
    [
        "StorageManager.prototype.getDirectory = () => Promise.reject(new DOMException('denied', 'SecurityError'))",
        "delete FileSystemFileHandle.prototype.createWritable",
    ],
)
def test_a_browser_that_keeps_nothing_is_said_to_and_the_scan_stays(
    open_page: OpenPage, url: str, tmp_path: Path, fault: str
) -> None:
    page = open_page("/healthz", flags=WEBGL2, url=url, expected=("404 (Not Found)",))
    page.add_init_script(fault)
    page.goto(f"{url}/?backend=cpu")
    drop(page, write_scan(tmp_path / "sub-01.nii.gz"))
    wait_for(page, "ready")
    page.get_by_test_id("keep").click()
    expect(page.get_by_test_id("keep-problem")).to_contain_text("until the page is closed", timeout=PATIENCE_MS)
    segment(page, "bright")


def test_a_kiosk_that_keeps_deletes_it_with_everything_else(
    open_page: OpenPage, served: Served, models: Path, tmp_path: Path
) -> None:
    scan = write_scan(tmp_path / "sub-01.nii.gz")
    url = served("--models", str(models), "--kiosk", "--keep", "on")
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    expect(page.get_by_test_id("full-screen")).to_be_visible(timeout=PATIENCE_MS)
    keep(page)
    drop(page, scan)
    wait_for(page, "ready")
    wait_until_kept(page, 1)
    page.reload()
    wait_for(page, "ready")
    expect(rows(page)).to_have_count(1)
    page.get_by_test_id("start-over").click()
    wait_for(page, "idle")
    expect(rows(page)).to_have_count(0)
    assert stored(page) == {}
