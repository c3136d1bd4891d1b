"""Several scans in one page: the list, a result beside another, the queue, and what is saved of all."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from meshnet.infer.sidecar import Settings, sha256_of_files
from tests.helpers.browser.chromium import NO_GPU, WEBGL2, OpenPage
from tests.helpers.browser.site import (
    assert_same_labels,
    counts,
    drop,
    head,
    predicted,
    save,
    segment,
    status,
    wait_for,
    wait_until_listed,
    write_model,
    write_scan,
)
from tests.helpers.browser.visits import PATIENCE_MS


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "tissue")
    write_model(folder, "other", dilations=(1, 2), channels=3)
    write_model(folder, "long", dilations=(1, 2, 4, 8) * 12, channels=48)
    return folder


@pytest.fixture
def page(open_page: OpenPage, url: str) -> Page:
    opened = open_page("/", flags=NO_GPU, url=url)
    wait_until_listed(opened, "tissue")
    return opened


def write_cohort(folder: Path) -> list[Path]:
    """Two scans that differ in shape and content, and between them a file that is no scan."""
    first = write_scan(folder / "sub-01.nii.gz")
    bad = folder / "sub-02.nii.gz"
    bad.write_bytes(first.read_bytes()[:2000])
    return [first, bad, write_scan(folder / "sub-03.nii.gz", head((33, 39, 31))[::-1])]


def rows(page: Page) -> Locator:
    return page.get_by_test_id("studies").locator("tbody tr")


def pick(page: Page, name: str) -> None:
    rows(page).get_by_role("button", name=name, exact=True).click()
    expect(rows(page).filter(has=page.locator("[aria-current]"))).to_contain_text(name)


def wait_for_queue(page: Page, state: str) -> str:
    expect(page.get_by_test_id("queue")).to_have_attribute("data-state", state, timeout=PATIENCE_MS)
    return page.locator("#queue-text").inner_text()


def save_zip(page: Page) -> zipfile.ZipFile:
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id("save-all").click()
    assert download.value.suggested_filename == "meshnet-results.zip"
    return zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))


def test_a_queue_goes_on_after_a_scan_that_fails_and_everything_is_saved_in_one_zip(
    page: Page, models: Path, tmp_path: Path
) -> None:
    cohort = write_cohort(tmp_path)
    drop(page, *cohort)
    expect(rows(page).locator(".pick")).to_have_text([path.name[:6] for path in cohort], timeout=PATIENCE_MS)
    wait_for(page, "ready")
    expect(page.get_by_test_id("run-all")).to_have_text("Segment all (3)")

    page.get_by_test_id("run-all").click()

    assert wait_for_queue(page, "finished") == "Queue finished: 2 of 3 done, 1 failed."
    expect(rows(page).nth(1)).to_have_attribute("data-state", "failed")
    expect(rows(page).nth(1)).to_contain_text("the gzip stream ends early")
    expect(page.get_by_test_id("run-all")).to_have_text("Segment all (1)")
    wait_for(page, "done")

    with save_zip(page) as archive:
        masks = {"sub-01_tissue.nii.gz", "sub-03_tissue.nii.gz"}
        assert set(archive.namelist()) == {*masks, "volumes.csv", "table.csv", "results.json"}
        archive.extractall(tmp_path / "zip")
    labels = {}
    for scan in (cohort[0], cohort[2]):
        mask = tmp_path / "zip" / scan.name.replace(".nii.gz", "_tissue.nii.gz")
        labels[scan.name] = assert_same_labels(mask, predicted(models / "tissue", scan, tmp_path / scan.name[:6]))
    assert_tables_hold(tmp_path / "zip", labels, cohort)
    pick(page, "sub-03")
    wait_for(page, "done")
    assert counts(page) == {label: int((labels["sub-03.nii.gz"] == label).sum()) for label in (1, 2)}


def assert_tables_hold(folder: Path, labels: dict[str, np.ndarray], cohort: list[Path]) -> None:
    """The tables and the JSON have the volumes of these labels, and an empty cell for the scan that failed."""
    ml = {path.name: abs(np.linalg.det(nib.load(path).affine[:3, :3])) / 1000 for path in cohort if path.name in labels}
    wide = list(csv.DictReader((folder / "table.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["scan"] for row in wide] == ["sub-01.nii.gz", "sub-02.nii.gz", "sub-03.nii.gz"]
    assert wide[1]["state"].startswith("failed: sub-02.nii.gz")
    assert [wide[1][f"class {label} (mL)"] for label in (1, 2)] == ["", ""]
    long = list(csv.DictReader((folder / "volumes.csv").read_text(encoding="utf-8").splitlines()))
    content = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert [scan["state"] for scan in content["scans"]] == ["done", "failed", "done"]
    for name, found in labels.items():
        (row,) = [row for row in wide if row["scan"] == name]
        (scan,) = [scan for scan in content["scans"] if scan["name"] == name]
        assert scan["shape"] == list(found.shape)
        (result,) = scan["results"]
        digest = sha256_of_files([path for path in cohort if path.name == name])
        assert result["source"] == {"name": name, "sha256": digest, "frame": None}
        assert result["settings"] == Settings().model_dump()
        assert result["file"] == name.replace(".nii.gz", "_tissue.nii.gz")
        for label in (1, 2):
            voxels = int((found == label).sum())
            assert float(row[f"class {label} (mL)"]) == pytest.approx(voxels * ml[name], abs=1e-4)
            (one,) = [r for r in long if r["scan"] == name and r["label"] == str(label)]
            assert int(one["voxels"]) == voxels
            assert result["volumes"][label]["voxels"] == voxels


def test_two_models_of_one_scan_stand_side_by_side_and_neither_is_lost(page: Page, tmp_path: Path) -> None:
    drop(page, write_scan(tmp_path / "scan.nii.gz"))
    wait_for(page, "ready")
    segment(page, "tissue")
    of_tissue = counts(page)
    segment(page, "other")
    of_other = counts(page)
    assert of_other != of_tissue
    columns = page.get_by_test_id("volumes").locator("thead th")
    expect(columns).to_have_text(["Label", "other", "tissue"])

    page.get_by_test_id("layers").get_by_role("radio", name="tissue").check()
    wait_for(page, "done")
    expect(page.locator("#results-heading")).to_have_text("Result of tissue", timeout=PATIENCE_MS)
    expect(columns).to_have_text(["Label", "tissue", "other"])
    assert counts(page) == of_tissue
    assert save(page, "native", tmp_path).name == "scan_tissue.nii.gz"

    page.get_by_test_id("model").select_option("long")
    page.get_by_test_id("run").click()
    expect(page.locator("#progress-text")).to_have_text(re.compile(r"Layer \d+"), timeout=PATIENCE_MS)
    assert counts(page) == of_tissue
    page.get_by_test_id("cancel").click()
    assert "its earlier results are still here" in wait_for(page, "done")
    assert counts(page) == of_tissue

    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Remove the result of other").click()
    expect(page.get_by_test_id("layers")).to_be_hidden()
    expect(columns).to_have_text(["Label", "Volume", "Voxels"])


def test_a_queue_is_paused_resumed_and_a_scan_skipped_while_another_is_looked_at(page: Page, tmp_path: Path) -> None:
    drop(page, *[write_scan(tmp_path / f"{name}.nii.gz", head((41, 37, 29 + n))) for n, name in enumerate("abc")])
    wait_for(page, "ready")
    page.get_by_test_id("model").select_option("long")
    page.get_by_test_id("run-all").click()
    expect(rows(page).nth(0)).to_contain_text(re.compile(r"running \d+ %"), timeout=PATIENCE_MS)
    expect(rows(page).nth(1)).to_contain_text("waiting")
    expect(page.get_by_test_id("run")).to_be_disabled()

    pick(page, "c")  # read by the second worker
    expect(page.locator("#scan-summary")).to_contain_text("c.nii.gz: 41 × 37 × 31", timeout=PATIENCE_MS)
    page.get_by_test_id("skip").click()
    expect(rows(page).nth(0)).to_have_attribute("data-state", "skipped", timeout=PATIENCE_MS)
    expect(rows(page).nth(1)).to_have_attribute("data-state", "running", timeout=PATIENCE_MS)
    in_all = float(page.get_by_test_id("queue-progress").get_attribute("value") or "nan")
    assert 33.3 <= in_all < 66.6  # percent
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.once("dialog", stay)
    page.evaluate("setTimeout(() => location.reload(), 0)")
    page.wait_for_timeout(500)
    assert asked == ["beforeunload"], "the queue would be lost"

    page.get_by_test_id("pause").click()
    assert "Pausing after this scan" in wait_for_queue(page, "pausing")
    expect(page.get_by_test_id("stop")).to_be_enabled()
    page.get_by_test_id("stop").click()
    assert wait_for_queue(page, "paused") == "Paused: 0 of 3 done, 1 skipped."
    expect(rows(page).nth(1)).to_have_attribute("data-state", "waiting")

    segment(page, "tissue")  # a paused queue leaves the engine free
    assert sum(counts(page).values()) > 0
    page.get_by_test_id("resume").click()
    expect(rows(page).nth(1)).to_have_attribute("data-state", "running", timeout=PATIENCE_MS)
    page.get_by_test_id("skip").click()
    expect(rows(page).nth(2)).to_have_attribute("data-state", "running", timeout=PATIENCE_MS)
    page.get_by_test_id("skip").click()
    assert wait_for_queue(page, "finished") == "Queue finished: 0 of 3 done, 3 skipped."
    assert sum(counts(page).values()) > 0


def test_a_scan_is_removed_from_the_list_after_a_question_where_its_result_is_not_saved(
    page: Page, tmp_path: Path
) -> None:
    drop(page, *[write_scan(tmp_path / f"{name}.nii.gz") for name in "ab"])
    wait_for(page, "ready")
    segment(page, "tissue")
    asked: list[str] = []

    def refuse(dialog: Dialog) -> None:
        asked.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", refuse)
    page.get_by_role("button", name="Remove a.nii.gz").click()
    assert asked == ["Remove a.nii.gz? Its results have not been saved."]
    expect(rows(page)).to_have_count(2)

    save(page, "native", tmp_path)
    page.get_by_role("button", name="Remove a.nii.gz").click()
    expect(rows(page)).to_have_count(1)
    expect(page.locator("#scan-summary")).to_contain_text("b.nii.gz", timeout=PATIENCE_MS)
    wait_for(page, "ready")
    page.get_by_role("button", name="Remove b.nii.gz").click()
    expect(page.get_by_text("No scan yet")).to_be_visible(timeout=PATIENCE_MS)
    assert "Open a scan to begin." in wait_for(page, "idle")
    expect(page.get_by_test_id("run")).to_be_disabled()


def test_a_reload_asks_only_where_a_result_would_be_lost(page: Page, tmp_path: Path) -> None:
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    drop(page, write_scan(tmp_path / "a.nii.gz"))
    wait_for(page, "ready")
    segment(page, "tissue")
    page.on("dialog", stay)
    page.evaluate("setTimeout(() => location.reload(), 0)")
    page.wait_for_timeout(500)
    assert asked == ["beforeunload"]
    assert sum(counts(page).values()) > 0

    save(page, "native", tmp_path)
    page.reload()
    assert asked == ["beforeunload"]
    wait_for(page, "idle")


def test_a_folder_is_a_list_of_its_scans_named_by_their_subfolders(page: Page, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    for subject in ("sub-2", "sub-10"):
        (folder / subject).mkdir(parents=True)
        write_scan(folder / subject / "T1w.nii.gz")
        (folder / subject / "T1w.json").write_text("{}")
    (folder / "participants.tsv").write_text("participant_id\n")
    page.get_by_test_id("folder").set_input_files(folder)

    expect(rows(page).locator(".pick")).to_have_text(["cohort/sub-2/T1w", "cohort/sub-10/T1w"], timeout=PATIENCE_MS)
    expect(page.locator("#warnings")).to_contain_text("Left out 3 files that are no scans.", timeout=PATIENCE_MS)
    page.get_by_test_id("run-all").click()
    wait_for_queue(page, "finished")
    with save_zip(page) as archive:
        assert {name for name in archive.namelist() if name.endswith(".nii.gz")} == {
            "cohort/sub-2/T1w_tissue.nii.gz",
            "cohort/sub-10/T1w_tissue.nii.gz",
        }


def test_the_queue_of_a_zip_works_with_the_keyboard_alone_and_its_table_opens(page: Page, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "cohort.zip", "w") as archive:
        for name in "abc":
            archive.write(write_scan(tmp_path / f"{name}.nii.gz"), f"cohort/{name}.nii.gz")
    drop(page, tmp_path / "cohort.zip")
    wait_for(page, "ready")
    expect(rows(page)).to_have_count(3)
    rows(page).nth(0).locator(".pick").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#scan-summary")).to_contain_text("c.nii.gz", timeout=PATIENCE_MS)
    wait_for(page, "ready")
    page.get_by_test_id("run-all").focus()
    page.keyboard.press("Enter")
    wait_for_queue(page, "finished")
    page.get_by_test_id("show-summary").focus()
    page.keyboard.press("Enter")
    table = page.locator("#summary-table")
    expect(table.locator("tbody tr")).to_have_count(3, timeout=PATIENCE_MS)
    expect(table.locator("thead th")).to_have_text(["Scan", "Model", "State", "class 1", "class 2"])
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id("save-summary").click()
    assert download.value.suggested_filename == "meshnet-table.csv"
    page.keyboard.press("Escape")
    expect(page.get_by_test_id("summary")).to_be_hidden()


def test_one_cleaning_holds_for_everything_that_is_saved(page: Page, tmp_path: Path) -> None:
    drop(page, *[write_scan(tmp_path / f"{name}.nii.gz") for name in "ab"])
    wait_for(page, "ready")
    page.get_by_test_id("run-all").click()
    wait_for_queue(page, "finished")
    wait_for(page, "done")
    page.locator("#clean-ml").fill("700")
    page.locator("#clean").check()
    expect(page.locator("#results-note")).to_contain_text("in small components was removed", timeout=PATIENCE_MS)
    with save_zip(page) as archive:
        content = json.loads(archive.read("results.json"))
        assert {name for name in archive.namelist() if name.endswith(".gz")} == {
            "a_tissue_min700mL.nii.gz",
            "b_tissue_min700mL.nii.gz",
        }
    volumes = [scan["results"][0]["volumes"] for scan in content["scans"]]
    kept = {"keep_outside_brain": False, "all_labels": False}
    settings = {"threshold": None, "flip": False, "remove_below_ml": 700, **kept}
    assert [scan["results"][0]["settings"] for scan in content["scans"]] == [settings] * 2
    assert volumes[0] == volumes[1]


def test_the_picture_follows_the_list(open_page: OpenPage, url: str, tmp_path: Path) -> None:
    page = open_page("/?backend=cpu", flags=WEBGL2, url=url)
    wait_until_listed(page, "tissue")
    drop(page, write_scan(tmp_path / "a.nii.gz"), write_scan(tmp_path / "b.nii.gz", head((33, 39, 31))))
    wait_for(page, "ready")
    plain = page.locator("#canvas").screenshot()
    segment(page, "tissue")
    labelled = page.locator("#canvas").screenshot()
    assert labelled != plain
    pick(page, "b")
    expect(page.locator("#readout")).to_contain_text("voxel 16, 19, 15", timeout=PATIENCE_MS)
    wait_for(page, "ready")
    pick(page, "a")
    wait_for(page, "done")
    expect(page.locator("#readout")).to_contain_text("class", timeout=PATIENCE_MS)
    assert "error" not in (status(page).get_attribute("data-state") or "")
