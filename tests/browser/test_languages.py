"""The page in German and Spanish: texts, numbers, the choice of a language, and no violation that axe finds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser.accessibility import AXE, assert_accessible
from tests.helpers.browser.chromium import WEBGL2, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import drop, status, wait_for, wait_until_listed, write_model, write_scan
from tests.helpers.browser.visits import PATIENCE_MS

#: Of each language: the button that runs, the start of the sentence after a run, and a word in the table's head.
WORDS = {"de": ("Segmentieren", "Fertig in ", "Volumen"), "es": ("Segmentar", "Listo en ", "Volumen")}

VOLUMES = (
    "() => [...document.querySelectorAll('[data-testid=volumes] tbody tr')].map((row) => row.cells[1].textContent)"
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tissue", modality=("T1w",))
    return folder


def with_languages(page: Page, *tags: str) -> Page:
    """The page anew, in a browser whose user prefers these languages."""
    page.add_init_script(f"Object.defineProperty(navigator, 'languages', {{ get: () => {list(tags)} }})")
    page.reload()
    return page


@pytest.mark.parametrize("code", WORDS)
def test_the_sample_is_segmented_in_the_browsers_language(open_page: OpenPage, url: str, code: str) -> None:
    run, done, head = WORDS[code]
    page = with_languages(open_page("/?backend=cpu", flags=WEBGL2, url=url), f"{code}-XX", "en")
    wait_until_listed(page, "tissue")
    expect(page.locator("html")).to_have_attribute("lang", code, timeout=PATIENCE_MS)
    expect(page.get_by_test_id("language")).to_have_value(code)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert_accessible(page, f"empty, {code}")
    page.get_by_test_id("sample").click()
    wait_for(page, "ready")

    page.get_by_role("button", name=run, exact=True).click()

    assert wait_for(page, "done").startswith(done)
    expect(page.get_by_test_id("volumes").locator("thead")).to_contain_text(head)
    volumes = page.evaluate(VOLUMES)
    assert len(volumes) == 2
    assert all(re.fullmatch(r"\d{1,3}(\.?\d{3})*(,\d+)? mL", volume) for volume in volumes), volumes
    expect(page.locator("#scan-summary")).to_contain_text(" mm")
    assert_accessible(page, f"a result, {code}")


def test_another_language_is_chosen_by_hand_and_the_result_stays(open_page: OpenPage, url: str, tmp_path: Path) -> None:
    page = open_page("/?backend=cpu&lang=de", flags=WEBGL2, url=url)
    wait_until_listed(page, "tissue")
    drop(page, write_scan(tmp_path / "sub-01_T2w.nii.gz"))
    wait_for(page, "ready")
    page.get_by_test_id("run").click()
    wait_for(page, "done")
    expect(page.locator("#warnings")).to_contain_text("Das sieht nach einer T2w-Aufnahme aus")
    expect(page.get_by_test_id("notes").locator("[data-code=contrast-unlike]")).to_contain_text("Nach dem Namen")
    expect(page.locator("#scan-summary")).to_contain_text("4,1 × 4,4 × 5,3 mm")
    german = page.evaluate(VOLUMES)
    page.evaluate("() => { window.sameVisit = true; }")

    page.get_by_test_id("language").select_option("en")

    expect(page.locator("html")).to_have_attribute("lang", "en")
    expect(status(page)).to_contain_text("Done in ")
    expect(page.locator("#warnings")).to_contain_text("This looks like a T2w scan")
    expect(page.get_by_test_id("notes").locator("[data-code=contrast-unlike]")).to_contain_text("The scan's name says")
    assert page.evaluate("window.sameVisit")
    assert page.title() == "MeshNet: brain MRI segmentation in your browser"
    expect(page.locator("#scan-summary")).to_contain_text("4.1 × 4.4 × 5.3 mm")
    assert page.evaluate(VOLUMES) == [text.translate(str.maketrans(",.", ".,")) for text in german]

    # The choice counts more than the browser, the address more than the choice.
    page.get_by_test_id("language").select_option("es")
    page.goto(f"{url}/?backend=cpu")
    expect(page.locator("html")).to_have_attribute("lang", "es")
    page.goto(f"{url}/?backend=cpu&lang=de")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    page.get_by_test_id("forget").click()
    expect(page.locator("#forgotten")).to_have_text("Vergessen.")
    page.goto(f"{url}/?backend=cpu")
    wait_until_listed(page, "tissue")
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_an_error_of_the_page_is_translated_and_one_of_a_reader_is_marked_as_english(
    open_page: OpenPage, url: str, tmp_path: Path
) -> None:
    page = open_page("/?backend=cpu&lang=de", flags=WEBGL2, url=url)
    wait_until_listed(page, "tissue")
    lonely = tmp_path / "model.json"
    lonely.write_text("{}")
    drop(page, lonely)
    expect(status(page)).to_contain_text("allein ist kein Modell", timeout=PATIENCE_MS)
    assert status(page).get_attribute("lang") is None
    page.get_by_test_id("language").select_option("es")
    expect(status(page)).to_contain_text("por sí solo no es un modelo")

    broken = tmp_path / "broken.nii"
    broken.write_bytes(b"no scan")
    drop(page, broken)

    expect(status(page)).to_contain_text("broken.nii: not a NIfTI", timeout=PATIENCE_MS)
    expect(status(page)).to_have_attribute("lang", "en")


def test_a_kiosk_may_fix_the_language(open_page: OpenPage, served: Served, models: Path) -> None:
    address = served("--models", str(models), "--kiosk", "--language", "es")
    page = open_page("/?backend=cpu&lang=de", flags=WEBGL2, url=address)
    expect(page.get_by_test_id("start-over")).to_have_text("Empezar de nuevo", timeout=PATIENCE_MS)
    expect(page.locator("html")).to_have_attribute("lang", "es")
    expect(page.get_by_test_id("language")).to_be_hidden()
    assert page.evaluate("localStorage.length") == 0
