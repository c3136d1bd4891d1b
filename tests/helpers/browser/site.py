"""A visitor at the site: small models and scans, dropped files, and what `meshnet-predict` makes of the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Locator, Page, expect

from meshnet.infer import predict
from meshnet.model.checkpoint import load_checkpoint, save_checkpoint
from meshnet.model.spec import InputSpec
from tests.helpers.browser.files import file_input
from tests.helpers.browser.visits import COARSE, PATIENCE_MS
from tests.helpers.export_models import small_model
from tests.helpers.scan_files import affine_of


def write_model(
    folder: Path, model_id: str, *, modality: tuple[str, ...] = (), name: str = "", **architecture: Any
) -> Path:
    """A small model on the coarse grid. Its two or three labels: brightness up to 0.3, up to 0.6 and above, blurred."""
    spec, weights = small_model(model_id, **architecture)
    weights = {name: array * np.float32(0.02) for name, array in weights.items()}
    for i in range(len(spec.architecture.dilations)):
        weights[f"layers.{i}.conv.weight"][0, 0, 1, 1, 1] = 1
    classes = spec.architecture.classes
    weights["classifier.weight"][:, 0, 0, 0, 0] = [0, 6, 12][:classes]
    weights["classifier.bias"][:] = [0, -1.8, -5.4][:classes]
    spec = spec.model_copy(
        update={"input": InputSpec(**COARSE), "modality": modality, "name": name or model_id, "task": "test"}
    )
    save_checkpoint(folder / model_id, spec, weights)
    return folder / model_id


def at_size(source: Path, folder: Path, size: int) -> Path:
    """A model that takes only the middle `size`³ voxels of 1 mm: a published network on a cropped volume."""
    spec, weights = load_checkpoint(source)
    cropped = spec.input.model_copy(update={"size": (size, size, size)})
    save_checkpoint(folder / spec.id, spec.model_copy(update={"input": cropped}), weights)
    return folder / spec.id


def head(shape: tuple[int, ...] = (41, 37, 29)) -> NDArray[np.int16]:
    """Bright shells with noise, int16 from 0 to about 1,000."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    radius = np.sqrt((grid**2).sum(0))
    noise = np.random.default_rng(7).uniform(0, 120, shape)
    return np.where(radius < 1, 500 + 400 * np.cos(9 * radius) + noise, 0).astype(np.int16)


def write_scan(path: Path, data: NDArray[Any] | None = None) -> Path:
    """An oblique, flipped, anisotropic scan of odd size, 160 mm wide."""
    affine = affine_of(axes="LAS", rotation_deg=(12, -7, 31), voxel_size_mm=(4.1, 4.4, 5.3))
    image = nib.Nifti1Image(head() if data is None else data, affine)
    image.header.set_xyzt_units("mm", "sec")
    image.header["descrip"] = b"made for a test"
    nib.save(image, path)
    return path


def drop(page: Page, *files: Path) -> None:
    """Drops files onto the page, as a visitor does with a mouse."""
    transfer = page.evaluate_handle(
        """(input) => {
          const transfer = new DataTransfer();
          for (const file of input.files) transfer.items.add(file);
          return transfer;
        }""",
        file_input(page, files),
    )
    page.get_by_test_id("drop").dispatch_event("drop", {"dataTransfer": transfer})


def status(page: Page) -> Locator:
    return page.get_by_test_id("status")


def wait_for(page: Page, state: str) -> str:
    """Waits for the page's state; fails with the page's own sentence where it ends in another. Returns the sentence."""
    expect(status(page)).to_have_attribute("data-state", re.compile(f"^({state}|error)$"), timeout=PATIENCE_MS)
    assert status(page).get_attribute("data-state") == state, status(page).inner_text()
    return status(page).inner_text()


def wait_until_listed(page: Page, model_id: str) -> None:
    expect(page.get_by_test_id("model").locator(f"option[value='{model_id}']")).to_be_attached(timeout=PATIENCE_MS)


def segment(page: Page, model_id: str | None = None) -> None:
    if model_id is not None:
        wait_until_listed(page, model_id)
        page.get_by_test_id("model").select_option(model_id)
    page.get_by_test_id("run").click()
    wait_for(page, "done")


def counts(page: Page) -> dict[int, int]:
    """Voxels by label, as the table shows them; background is not listed."""
    rows = page.get_by_test_id("volumes").locator("tbody tr[data-label]").all()
    return {int(row.get_attribute("data-label") or -1): int(row.get_attribute("data-voxels") or -1) for row in rows}


def save(page: Page, space: str, folder: Path) -> Path:
    """Presses *Save* and keeps what the browser downloads under its own name."""
    with page.expect_download(timeout=PATIENCE_MS) as download:
        page.get_by_test_id(f"save-{space}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def predicted(model: Path, scan: Path, folder: Path, space: str = "native") -> Path:
    """The labels that `meshnet-predict` writes for the same scan and model."""
    out = folder / f"predicted-{space}"
    assert predict.main([str(model), str(scan), "-o", str(out), "--space", space]) == 0
    (path,) = out.rglob("*.nii.gz")
    return path


def assert_same_labels(
    saved: Path, wanted: Path, *, agreement: float = 0.9999, smallest_dice: float = 0.999
) -> NDArray[np.uint8]:
    """Same place in space, same type, and labels as close as two float32 engines can promise. Returns the labels."""
    ours, theirs = nib.load(saved), nib.load(wanted)
    got, expected = np.asanyarray(ours.dataobj), np.asanyarray(theirs.dataobj)
    assert got.dtype == expected.dtype == np.uint8
    assert got.shape == expected.shape
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-5)
    for field in ("qform_code", "sform_code", "xyzt_units", "descrip"):
        assert ours.header[field] == theirs.header[field], field
    np.testing.assert_allclose(ours.header["pixdim"][:4], theirs.header["pixdim"][:4], rtol=1e-6)
    assert (got == expected).mean() >= agreement
    for label in np.unique(expected):
        a, b = got == label, expected == label
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) >= smallest_dice, f"label {label}"
    return got


def labels_of(model: Path) -> Sequence[str]:
    spec, _ = load_checkpoint(model)
    return [label.name for label in spec.labels]
