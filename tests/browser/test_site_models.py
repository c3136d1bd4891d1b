"""A visitor's own model, dropped onto the page: web bundles and TF.js folders."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from export.import_model import Answers, import_model
from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.spec import MinMax, make_labels
from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.site import (
    assert_same_labels,
    drop,
    labels_of,
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
from tests.helpers.tfjs_folders import network, write


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return write_scan(tmp_path / "scan.nii.gz")


@pytest.fixture
def page(open_page: OpenPage, tissue_url: str, scan: Path) -> Page:
    """A page with a scan open."""
    opened = open_page("/", flags=NO_GPU, url=tissue_url)
    wait_until_listed(opened, "tissue")
    drop(opened, scan)
    wait_for(opened, "ready")
    return opened


@pytest.mark.parametrize(("packed", "dtype"), [("zip", "float16"), ("loose files", "float32")])
def test_a_dropped_web_bundle_is_picked_and_runs(
    page: Page, scan: Path, tmp_path: Path, packed: str, dtype: str
) -> None:
    model = write_model(tmp_path, "mine", activation="elu")
    spec, weights = load_checkpoint(model)
    stored = spec.weights.model_copy(update={"dtype": dtype})
    save_checkpoint(model, spec.model_copy(update={"weights": stored}), weights)
    files = [model / "model.json", model / "weights.safetensors"]
    if packed == "zip":
        with zipfile.ZipFile(tmp_path / "mine.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, f"mine/{file.name}")
        files = [tmp_path / "mine.zip"]

    drop(page, *files)

    expect(status(page)).to_contain_text("The model mine can be used now", timeout=PATIENCE_MS)
    expect(page.get_by_test_id("model").locator("option:checked")).to_have_text("mine (dropped)")
    segment(page)
    assert_same_labels(save(page, "native", tmp_path), predicted(model, scan, tmp_path))


def test_a_damaged_bundle_is_refused_and_the_model_picked_before_stays(page: Page, tmp_path: Path) -> None:
    model = write_model(tmp_path, "mine")
    weights = bytearray((model / "weights.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "weights.safetensors").write_bytes(weights)

    drop(page, model / "model.json", model / "weights.safetensors")

    expect(status(page)).to_contain_text("the file is damaged or belongs to another model", timeout=PATIENCE_MS)
    assert page.get_by_test_id("model").input_value() == "tissue"
    segment(page)


@pytest.mark.parametrize("suffix", ["", "_gn"])
def test_a_dropped_tfjs_folder_is_asked_about_and_runs_as_the_imported_model_does(
    page: Page, scan: Path, tmp_path: Path, suffix: str
) -> None:
    folder = tmp_path / "tfjs"
    folder.mkdir()
    arrays = write(folder, network(suffix=suffix, activation="gelu"))
    # Brightness goes through the first channel, noise through the others; the labels are what is below and above 0.3.
    rng = np.random.default_rng(3)
    drawn = {name: rng.normal(0, 0.05, a.shape) for name, a in arrays.items()}
    for n in range(2):
        drawn[f"conv3d_{n}{suffix}/kernel"][1, 1, 1, 0, 0] = 1
    drawn["output/kernel"][0, 0, 0, 0] = [0, 4]
    drawn["output/bias"][:] = [0, -1.2]
    payload = b"".join(a.astype("<f4").tobytes() for a in drawn.values())
    (folder / "group1-shard1of1.bin").write_bytes(payload)
    (folder / "colormap.json").write_text('{"R": [0, 9], "G": [0, 8], "B": [0, 7], "labels": ["none", "something"]}')

    drop(page, *sorted(folder.iterdir()))
    page.get_by_test_id("use-model").click()
    expect(page.get_by_test_id("normalization")).to_be_focused()
    page.get_by_test_id("normalization").select_option(index=1)
    page.get_by_test_id("orientation").select_option(index=1)
    page.get_by_test_id("use-model").click()
    expect(status(page)).to_contain_text("can be used now", timeout=PATIENCE_MS)
    segment(page)

    answers = Answers(normalization=MinMax(), orientation="LIA", labels=make_labels(["none", "something"]))
    (folder / "colormap.json").unlink()
    imported = import_model(folder, answers)
    save_checkpoint(tmp_path / "imported", imported.spec, imported.weights)
    labels = assert_same_labels(save(page, "native", tmp_path), predicted(tmp_path / "imported", scan, tmp_path))
    assert 0 < labels.mean() < 1
    expect(page.get_by_test_id("volumes")).to_contain_text("something")


def test_a_published_tfjs_folder_works_as_it_is(page: Page, shared_data: Path) -> None:
    drop(page, *sorted((shared_data / "models" / "brainchop_model30chan18cls").iterdir()))
    page.get_by_test_id("normalization").select_option(index=1)
    page.get_by_test_id("orientation").select_option(index=1)
    page.get_by_test_id("use-model").click()

    expect(status(page)).to_contain_text("can be used now", timeout=PATIENCE_MS)
    expect(page.locator("#model-facts")).to_contain_text("18 labels")


def test_a_layer_that_cannot_be_run_is_named(page: Page, tmp_path: Path) -> None:
    layers = network()
    layers[2]["config"]["activation"] = "swish"
    layers[4]["config"]["activation"] = "swish"
    write(tmp_path, layers)

    drop(page, tmp_path / "model.json", tmp_path / "group1-shard1of1.bin")
    page.get_by_test_id("normalization").select_option(index=1)
    page.get_by_test_id("orientation").select_option(index=1)
    page.get_by_test_id("use-model").click()

    expect(status(page)).to_contain_text('layer conv3d_0: activation "swish" cannot be run', timeout=PATIENCE_MS)


def test_labels_of_the_default_model_are_those_of_its_file(page: Page, tmp_path: Path) -> None:
    segment(page, "tissue")

    names = page.get_by_test_id("volumes").locator("tbody button").all_inner_texts()
    assert names == list(labels_of(write_model(tmp_path, "tissue")))[1:]
