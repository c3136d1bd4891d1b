"""The first visit and the next one: three steps to begin with, how long a run takes, and what the browser remembers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.site import drop, segment, wait_for, wait_until_listed, write_model, write_scan
from tests.helpers.browser.visits import PATIENCE_MS


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "default")
    write_model(folder, "other")
    return folder


@pytest.fixture
def page(open_page: OpenPage, url: str) -> Page:
    return open_page("/", flags=WEBGL2, url=url)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "sub-01_T1w.nii.gz")


def test_the_first_steps_are_shown_until_a_scan_has_been_segmented_by_one_key(page: Page, scan: Path) -> None:
    expect(page.locator("#first-steps")).to_be_visible()
    expect(page.get_by_test_id("backend")).to_contain_text(re.compile(r"about \d+ s for a scan"), timeout=PATIENCE_MS)

    drop(page, scan)
    wait_for(page, "ready")
    expect(page.get_by_test_id("run")).to_be_focused()
    page.keyboard.press("Enter")
    wait_for(page, "done")
    page.reload()

    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#first-steps")).to_be_hidden()


def test_reasons_and_the_device_are_in_the_details(page: Page) -> None:
    backend = page.get_by_test_id("backend")
    expect(backend.locator("> span")).to_contain_text("Will run on CPU", timeout=PATIENCE_MS)
    expect(backend.get_by_text("Not WebGPU")).to_be_hidden()

    backend.get_by_text("Details").click()

    expect(backend.get_by_text("Not WebGPU")).to_be_visible()
    expect(backend.get_by_text("Device: ")).to_be_visible()


def test_model_and_view_are_remembered_until_they_are_forgotten(page: Page, scan: Path) -> None:
    wait_until_listed(page, "other")
    page.get_by_test_id("model").select_option("other")
    page.get_by_role("button", name="Coronal").click()
    page.get_by_label("Right on the left").check()
    page.reload()
    wait_until_listed(page, "other")

    expect(page.get_by_test_id("model")).to_have_value("other")
    expect(page.get_by_role("button", name="Coronal")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_label("Right on the left")).to_be_checked()
    drop(page, scan)
    wait_for(page, "ready")
    segment(page)
    stored = page.evaluate("JSON.stringify(localStorage)")
    assert "sub-01" not in stored

    page.get_by_test_id("forget").click()
    expect(page.locator("#forgotten")).to_have_text("Forgotten.")
    assert page.evaluate("localStorage.length") == 0
