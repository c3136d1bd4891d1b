"""The page from a visitor's side: open, segment, look, measure, save, cancel, with the mouse or the keyboard."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import FileChooser, Page, expect

from tests.helpers.browser.chromium import NO_GPU, WEBGL2, OpenPage
from tests.helpers.browser.site import (
    COARSE,
    assert_same_labels,
    counts,
    drop,
    predicted,
    save,
    segment,
    status,
    wait_for,
    wait_until_listed,
    write_model,
    write_scan,
)
from tests.helpers.browser.visits import PATIENCE_MS, wait_for_offline

#: Enough work that a run can be watched and stopped, on any backend.
LONG = {"dilations": (1, 2, 4, 8) * 12, "channels": 48}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tissue", modality=("T1w",), name="Default")
    write_model(folder, "long", **LONG)
    (folder / "damaged").mkdir()
    (folder / "damaged" / "model.json").write_text("{}")
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "sub-01_T1w.nii.gz")


@pytest.fixture
def page(open_page: OpenPage, url: str) -> Page:
    """The page on a machine without any GPU: the fastest to test, and the viewer is not there to slow it."""
    return open_page("/", flags=NO_GPU, url=url)


def test_a_dropped_scan_needs_one_press_and_is_saved_as_meshnet_predict_saves_it(
    page: Page, models: Path, scan: Path, tmp_path: Path
) -> None:
    assert status(page).get_attribute("data-state") == "idle"
    drop(page, scan)
    wait_for(page, "ready")

    page.get_by_test_id("run").click()
    assert "Done" in wait_for(page, "done")

    native = save(page, "native", tmp_path)
    assert native.name == "sub-01_T1w_tissue.nii.gz"
    labels = assert_same_labels(native, predicted(models / "tissue", scan, tmp_path))
    assert_same_labels(save(page, "conformed", tmp_path), predicted(models / "tissue", scan, tmp_path, "conformed"))
    found = counts(page)
    assert found == {label: int((labels == label).sum()) for label in (1, 2)}
    assert min(found.values()) > 100
    voxel_ml = abs(np.linalg.det(nib.load(scan).affine[:3, :3])) / 1000
    row = page.get_by_test_id("volumes").locator("[data-label='1']")
    assert float(row.get_attribute("data-ml") or 0) == pytest.approx(found[1] * voxel_ml, rel=1e-6)


def test_the_backend_and_why_no_better_one_ran_are_said(page: Page, scan: Path) -> None:
    backend = page.get_by_test_id("backend")
    expect(backend).to_contain_text("Will run on CPU", timeout=PATIENCE_MS)
    expect(backend).to_contain_text("Not WebGPU:")

    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "tissue")

    assert backend.get_attribute("data-backend") == "cpu"
    expect(backend).to_contain_text("Ran on CPU")
    text = page.get_by_test_id("diagnostics").text_content() or ""
    for part in ("Backend: CPU", "not WebGPU:", "layers.0:", "classifier:", "Browser: ", "cross-origin isolated: yes"):
        assert part in text
    assert "sub-01" not in text


@pytest.mark.alone
def test_progress_names_the_layer_and_the_page_stays_alive_and_cancel_takes_a_second(page: Page, scan: Path) -> None:
    drop(page, scan)
    wait_for(page, "ready")
    wait_until_listed(page, "long")
    page.get_by_test_id("model").select_option("long")
    page.get_by_test_id("run").click()
    text = page.locator("#progress-text")
    expect(text).to_have_text(re.compile(r"Layer \d+ of 49 · \d+ %"), timeout=PATIENCE_MS)

    frames = page.evaluate(
        "() => new Promise((done) => { let n = 0; const tick = () => { n++; requestAnimationFrame(tick); };"
        " requestAnimationFrame(tick); setTimeout(() => done(n), 1000); })"
    )
    assert frames >= 5, "the page did not draw while the model ran"
    assert float(page.get_by_test_id("progress").get_attribute("value") or 0) > 0

    assert _milliseconds_to_cancel(page) < 1000
    assert "The scan is still open" in status(page).inner_text()
    segment(page, "tissue")


@pytest.mark.alone
def test_a_backend_that_cannot_be_stopped_is_ended_and_the_scan_stays(
    open_page: OpenPage, url: str, scan: Path, models: Path, tmp_path: Path
) -> None:
    """TF.js answers nobody while it waits for a software WebGL."""
    page = open_page("/?backend=tfjs", flags=WEBGL2, url=url)
    drop(page, scan)
    wait_for(page, "ready")
    wait_until_listed(page, "long")
    page.get_by_test_id("model").select_option("long")
    page.get_by_test_id("run").click()
    expect(page.get_by_test_id("backend")).to_contain_text("Runs on TensorFlow.js", timeout=PATIENCE_MS)
    time.sleep(1)

    assert _milliseconds_to_cancel(page) < 1000
    segment(page, "tissue")
    assert_same_labels(save(page, "native", tmp_path), predicted(models / "tissue", scan, tmp_path))


def _milliseconds_to_cancel(page: Page) -> float:
    took: float = page.evaluate(
        """() => new Promise((done) => {
          const status = document.querySelector('[data-testid=status]');
          const start = performance.now();
          new MutationObserver(() => { if (status.dataset.state === 'ready') done(performance.now() - start); })
            .observe(status, {attributes: true});
          document.querySelector('[data-testid=cancel]').click();
        })"""
    )
    return took


def test_nothing_is_ever_sent(open_page: OpenPage, url: str, scan: Path, tmp_path: Path) -> None:
    """Other hosts are watched on every page (see conftest); here also what is asked of the server itself."""
    page = open_page("/", flags=NO_GPU, url=url)
    asked: list[tuple[str, str]] = []
    page.context.on("request", lambda request: asked.append((request.method, request.url.removeprefix(url))))
    wait_until_listed(page, "tissue")
    expect(page.get_by_test_id("backend")).not_to_be_empty(timeout=PATIENCE_MS)
    wait_for_offline(page, "ready")  # until then the site fetches its own files to keep them

    asked.clear()
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "tissue")
    save(page, "native", tmp_path)

    assert {method for method, _ in asked} <= {"GET"}
    # All that is fetched once a scan is open is the model; what the site keeps of itself comes from there.
    paths = {path for _, path in asked if not path.startswith(("blob:", "/assets/"))}
    assert paths <= {"/models/tissue/model.json", "/models/tissue/weights.safetensors"}


def test_without_webgl2_the_viewer_says_so_for_as_long_as_a_scan_is_open(page: Page, scan: Path) -> None:
    sentence = page.get_by_text("The viewer needs WebGL2")
    expect(sentence).to_be_visible(timeout=PATIENCE_MS)
    drop(page, scan)
    wait_for(page, "ready")
    expect(sentence).to_be_visible()
    segment(page, "tissue")
    expect(sentence).to_be_visible()


def test_the_whole_job_works_with_the_keyboard_alone(page: Page, scan: Path) -> None:
    choosers: list[FileChooser] = []

    def keep(chooser: FileChooser) -> None:
        choosers.append(chooser)

    # From here on, because the browser reports only the choosers that open after it has set this up.
    page.on("filechooser", keep)
    wait_until_listed(page, "tissue")
    wait_for_offline(page, "ready")

    def tab_to(test_id: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.dataset.testid") == test_id:
                return
        raise AssertionError(f"Tab never reaches {test_id}")

    page.locator("body").press("Tab")
    tab_to("file")
    for _ in range(60):
        page.keyboard.press("Space")
        page.wait_for_timeout(500)
        if choosers:
            break
    assert choosers, "Space on the file field opens no file chooser"
    choosers[0].set_files(scan)
    wait_for(page, "ready")
    tab_to("model")
    tab_to("run")
    page.keyboard.press("Enter")
    wait_for(page, "done")
    expect(page.get_by_test_id("run")).to_be_focused()
    tab_to("save-native")
    with page.expect_download(timeout=PATIENCE_MS):
        page.keyboard.press("Enter")


def test_small_components_go_only_when_asked(page: Page, scan: Path) -> None:
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "tissue")
    everything = counts(page)

    page.locator("#clean-ml").fill("700")
    page.locator("#clean").check()
    expect(page.locator("#results-note")).to_contain_text("in small components was removed", timeout=PATIENCE_MS)
    wait_for(page, "done")
    assert sum(counts(page).values()) < sum(everything.values())

    page.locator("#clean").uncheck()
    expect(page.locator("#results-note")).to_be_hidden(timeout=PATIENCE_MS)
    wait_for(page, "done")
    assert counts(page) == everything


def test_a_result_names_its_model_and_says_when_the_list_shows_another(page: Page, scan: Path) -> None:
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "tissue")
    expect(page.locator("#results-heading")).to_have_text("Result of Default")

    page.get_by_test_id("model").select_option("long")
    expect(page.locator("#warnings")).to_contain_text("The result below is still that of Default; press Segment to run")
    page.get_by_test_id("model").select_option("tissue")
    expect(page.locator("#warnings")).not_to_contain_text("still that of")


def test_a_smallest_component_that_is_no_volume_removes_nothing_and_can_be_corrected(page: Page, scan: Path) -> None:
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "tissue")
    everything = counts(page)
    page.locator("#clean").check()
    wait_for(page, "done")

    page.locator("#clean-ml").fill("")
    page.locator("#clean-ml").blur()
    expect(page.locator("#warnings")).to_contain_text("Nothing was removed: type the smallest", timeout=PATIENCE_MS)
    segment(page, "tissue")
    assert counts(page) == everything

    page.locator("#clean-ml").fill("700")
    page.locator("#clean-ml").blur()
    expect(page.locator("#results-note")).to_contain_text("in small components was removed", timeout=PATIENCE_MS)
    expect(page.locator("#warnings")).not_to_contain_text("Nothing was removed")


def test_the_default_model_is_chosen_and_a_broken_one_is_listed_with_its_reason(page: Page) -> None:
    wait_until_listed(page, "long")

    assert page.get_by_test_id("model").input_value() == "tissue"
    page.locator("#broken summary").click()
    expect(page.locator("#broken li")).to_contain_text(re.compile(r"damaged: .*meshnet-model"))


def test_another_contrast_than_the_model_s_gives_a_warning_and_still_runs(page: Page, tmp_path: Path) -> None:
    wait_until_listed(page, "tissue")
    drop(page, write_scan(tmp_path / "sub-01_FLAIR.nii.gz"))
    wait_for(page, "ready")

    expect(page.locator("#warnings")).to_contain_text("looks like a FLAIR scan, but Default was made for T1w")
    segment(page, "tissue")


def test_the_sample_opens_with_one_press_and_is_segmented(page: Page) -> None:
    wait_until_listed(page, "tissue")

    page.get_by_test_id("sample").click()
    wait_for(page, "ready")
    expect(page.locator("#scan-summary")).to_contain_text("sample_T1w.nii.gz")
    expect(page.locator("#warnings")).to_be_empty()
    segment(page)
    assert sum(counts(page).values()) > 1000


def test_tfjs_gives_the_labels_of_meshnet_predict(
    open_page: OpenPage, url: str, models: Path, scan: Path, tmp_path: Path
) -> None:
    page = open_page("/?backend=tfjs&maxBufferMB=1", flags=WEBGL2, url=url)
    drop(page, scan)
    wait_for(page, "ready")

    segment(page, "tissue")

    assert page.get_by_test_id("backend").get_attribute("data-backend") == "tfjs"
    expect(page.get_by_test_id("backend")).to_contain_text("WebGL2")
    assert_same_labels(save(page, "native", tmp_path), predicted(models / "tissue", scan, tmp_path))
    # 48³ voxels of float32 are 0.44 MB: four channels went in groups of two.
    assert "largest buffer 885 KB" in (page.get_by_test_id("diagnostics").text_content() or "")


def test_an_unknown_backend_in_the_address_is_refused_in_words(open_page: OpenPage, url: str) -> None:
    page = open_page("/?backend=cuda", flags=NO_GPU, url=url)

    expect(status(page)).to_contain_text("no such backend; expected webgpu, webgl2, cpu, tfjs", timeout=PATIENCE_MS)


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_nothing_is_wider_than_the_window_and_the_panel_scrolls_by_itself(page: Page, scan: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 780})
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "tissue")

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 1280:
        assert page.evaluate("document.documentElement.scrollHeight") == 780


def test_every_control_has_a_name(page: Page) -> None:
    wait_until_listed(page, "tissue")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, canvas, progress')]
          .filter((e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length))
          .map((e) => e.outerHTML)"""
    )

    assert nameless == []


def test_the_viewer_overlays_labels_names_them_and_shows_every_view(
    open_page: OpenPage, url: str, scan: Path, tmp_path: Path
) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    readout = page.locator("#readout")
    drop(page, scan)
    wait_for(page, "ready")
    expect(readout).to_contain_text(re.compile(r"voxel 20, 18, 14 · intensity \d+"), timeout=PATIENCE_MS)
    before = page.locator("#canvas").screenshot()

    segment(page, "tissue")
    labels = np.asanyarray(nib.load(save(page, "native", tmp_path)).dataobj)
    for index in (1, 2):
        page.get_by_role("button", name=f"class {index}").click()
        expect(readout).to_contain_text(f"class {index}")
        place = re.search(r"voxel (\d+), (\d+), (\d+)", readout.inner_text())
        assert place is not None
        assert labels[tuple(int(n) for n in place.groups())] == index
    assert page.locator("#canvas").screenshot() != before
    for view in ("2-D + 3-D", "Axial", "Coronal", "Sagittal", "3-D", "2-D"):
        button = page.get_by_role("button", name=view, exact=True)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
    shown = page.locator("#canvas").screenshot()
    page.locator("#opacity").fill("0")
    assert page.locator("#canvas").screenshot() != shown


LOSE_THE_CONTEXT = (
    "document.querySelector('#canvas').getContext('webgl2').getExtension('WEBGL_lose_context').loseContext()"
)


def test_the_picture_comes_back_after_the_graphics_device_was_lost(open_page: OpenPage, url: str, scan: Path) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url, expected=("CONTEXT_LOST", "context lost"))
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "tissue")
    page.get_by_role("button", name="Coronal").click()
    before = page.locator("#canvas").screenshot()

    page.evaluate(LOSE_THE_CONTEXT)

    expect(page.locator("#canvas")).to_be_visible()
    page.wait_for_function("() => !document.querySelector('#canvas').getContext('webgl2').isContextLost()")
    page.wait_for_timeout(1000)  # until it has been drawn
    assert page.locator("#canvas").screenshot() == before
    page.locator("#canvas").press("ArrowLeft")
    expect(page.locator("#readout")).to_contain_text("voxel")
    assert page.locator("#canvas").screenshot() != before


def test_where_the_picture_cannot_come_back_the_page_says_what_still_works(
    open_page: OpenPage, url: str, scan: Path, tmp_path: Path
) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url, expected=("CONTEXT_LOST", "context lost", "WebGL2"))
    drop(page, scan)
    wait_for(page, "ready")
    segment(page, "tissue")

    page.evaluate(f"const lose = () => {LOSE_THE_CONTEXT}; lose(); HTMLCanvasElement.prototype.getContext = () => null")

    expect(page.get_by_text("the picture is lost")).to_be_visible(timeout=PATIENCE_MS)
    assert save(page, "native", tmp_path).is_file()


def test_what_the_viewer_cannot_show_is_said_and_stays_said(open_page: OpenPage, url: str, scan: Path) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    drop(page, scan)
    wait_for(page, "ready")
    expect(page.locator("#readout")).to_contain_text("intensity")  # the viewer is there and has drawn it
    page.evaluate(
        "() => { WebGL2RenderingContext.prototype.texStorage3D = () => { throw new Error('no room for it') } }"
    )
    drop(page, scan)
    expect(page.locator("#warnings")).to_contain_text("The viewer cannot show this (no room for it)")
    wait_for(page, "ready")
    expect(page.locator("#warnings")).to_contain_text("The viewer cannot show this (no room for it)")


def test_the_server_hands_out_the_coarse_grid_that_the_models_ask_for(url: str) -> None:
    """At 256³ the tests of this file would take an hour."""
    for model in ("tissue", "long"):
        with urllib.request.urlopen(f"{url}/models/{model}/model.json", timeout=60) as answer:
            asked = json.load(answer)["input"]
        assert asked["size"] == list(COARSE["size"])
        assert asked["voxel_size_mm"] == COARSE["voxel_size_mm"]


def test_the_licence_of_every_package_in_the_page_is_a_press_away(page: Page) -> None:
    page.get_by_text("Diagnostics").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="Licences of the software in this page").click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    packages = json.loads(Path("static/package.json").read_text(encoding="utf-8"))["dependencies"]
    assert packages
    for name, version in packages.items():
        assert f"\n{name} {version}, " in text
