"""More than four models are a gallery: picture, labels and scans of each; with mouse, keys and screen reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.helpers.bright_model import write_bright_model
from tests.helpers.browser.accessibility import AXE, assert_accessible
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import drop, segment, wait_for, wait_until_listed, write_model, write_scan
from tests.helpers.browser.visits import PATIENCE_MS

IDS = ("a-one", "b-two", "c-three", "d-four", "e-five")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for model_id in IDS:
        write_model(folder, model_id, modality=("T1w",) if model_id == "b-two" else ())
    write_bright_model(folder / "d-four", tissue=0.2, id="d-four", name="d-four")
    Image.new("RGB", (240, 180), (90, 120, 150)).save(folder / "b-two" / "picture.png")
    (folder / "c-three" / "picture.png").write_bytes(b"no picture")
    return folder


def test_a_model_is_picked_from_the_gallery_by_mouse_and_by_keys(open_page: OpenPage, url: str, tmp_path: Path) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    wait_until_listed(page, "a-one")
    gallery = page.get_by_test_id("gallery")
    expect(gallery.get_by_role("radio")).to_have_count(5)
    expect(gallery.get_by_role("radio", name="b-two")).not_to_be_checked()
    two = gallery.locator("label:has(input[value='b-two'])")
    expect(two).to_contain_text("for T1w scans")
    expect(two).to_contain_text("class 1")
    expect(gallery.locator("label:has(input[value='d-four'])")).to_contain_text("lesion, with tissue as layers")
    two.scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('.card img').naturalWidth === 240")
    expect(gallery.locator("img")).to_have_count(1)

    two.click()
    expect(page.locator("#model-facts")).to_contain_text("for T1w scans")
    expect(page.get_by_test_id("model")).to_have_value("b-two")
    page.keyboard.press("ArrowDown")
    expect(gallery.get_by_role("radio", name="c-three")).to_be_checked()
    expect(gallery.get_by_role("radio", name="c-three")).to_be_focused()

    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert_accessible(page, "the gallery")
    page.set_viewport_size({"width": 360, "height": 780})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    drop(page, write_scan(tmp_path / "scan.nii.gz"))
    wait_for(page, "ready")
    segment(page)
    expect(page.locator("#results-heading")).to_have_text("Result of c-three")
    page.reload()
    expect(gallery.get_by_role("radio", name="c-three")).to_be_checked(timeout=PATIENCE_MS)


def test_up_to_four_models_are_a_plain_list(open_page: OpenPage, served: Served, tmp_path: Path) -> None:
    for model_id in IDS[:4]:
        write_model(tmp_path, model_id)
    address = served("--models", str(tmp_path))
    page = open_page("/?backend=cpu", flags=WEBGL2, url=address)
    wait_until_listed(page, "a-one")
    expect(page.get_by_test_id("gallery")).to_be_hidden()
    page.get_by_test_id("model").focus()
    expect(page.get_by_test_id("model")).to_be_focused()

    # A visitor's own model is the fifth.
    own = write_model(tmp_path / "own", "mine")
    drop(page, own / "model.json", own / "weights.safetensors")
    expect(page.get_by_test_id("gallery").get_by_role("radio", name="mine (dropped)")).to_be_checked(
        timeout=PATIENCE_MS
    )
