"""A visitor's files and actions, small enough to take seconds: a scan, a model, the main job."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import nibabel as nib
import numpy as np
from playwright.sync_api import Page, expect

from meshnet.model.checkpoint import save_checkpoint
from meshnet.model.spec import InputSpec
from tests.helpers.export_models import small_model

#: Generous, because continuous integration shares two cores; nothing here takes a fifth of it when alone.
PATIENCE_MS = 180_000

#: Fields of an `InputSpec`: the whole head on a coarse grid.
COARSE = {"size": (48, 48, 48), "voxel_size_mm": 5.0}


def write_models(folder: Path, *ids: str, grid: InputSpec | None = None) -> Path:
    """A models folder with small untrained models of these ids.

    Without `grid` they run on a coarse one that holds the whole head, so that a run takes a fraction of a second.
    """
    for model_id in ids:
        spec, weights = small_model(model_id)
        own = spec.input.model_copy(update=COARSE) if grid is None else grid
        save_checkpoint(folder / model_id, spec.model_copy(update={"input": own}), weights)
    return folder


def write_scan(path: Path) -> Path:
    """A scan of 40 x 36 x 32 voxels of 2 mm with some structure in it."""
    i, j, k = np.indices((40, 36, 32))
    image = np.hypot(np.hypot(i - 20, j - 18), k - 16) * 20 + 30 * np.sin(i / 3.0)
    nib.save(nib.Nifti1Image(np.clip(image, 0, None).astype(np.int16), np.diag([2.0, 2.0, 2.0, 1.0])), path)
    return path


def open_scan(page: Page, scan: Path) -> None:
    page.get_by_test_id("file").set_input_files(scan)
    expect(page.get_by_test_id("status")).to_have_attribute("data-state", "ready", timeout=PATIENCE_MS)


def segment(page: Page, scan: Path) -> None:
    """The main job up to the result; fails with the page's own sentence where it ends in an error."""
    open_scan(page, scan)
    page.get_by_test_id("run").click()
    status = page.get_by_test_id("status")
    expect(status).to_have_attribute("data-state", re.compile("done|error"), timeout=PATIENCE_MS)
    assert status.get_attribute("data-state") == "done", status.inner_text()


def save_native(page: Page) -> np.ndarray:
    """The labels that *Save native* downloads."""
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id("save-native").click()
    return read_labels(Path(download.value.path()).read_bytes())


def read_labels(content: bytes) -> np.ndarray:
    return np.asanyarray(nib.Nifti1Image.from_bytes(gzip.decompress(content)).dataobj)


def wait_for_offline(page: Page, state: str) -> str:
    """Wait for a state of use without a network; returns the sentence shown."""
    line = page.get_by_test_id("offline")
    expect(line).to_have_attribute("data-state", state, timeout=PATIENCE_MS)
    return line.inner_text()
