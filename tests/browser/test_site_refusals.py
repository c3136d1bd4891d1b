"""Bad input gets a sentence that says what is wrong and what to do, and never costs the scan that is open."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.helpers.browser.chromium import NO_GPU, OpenPage
from tests.helpers.browser.serving import Served
from tests.helpers.browser.site import (
    counts,
    drop,
    head,
    segment,
    status,
    wait_for,
    wait_until_listed,
    write_model,
    write_scan,
)
from tests.helpers.browser.visits import PATIENCE_MS


@pytest.fixture
def page(open_page: OpenPage, tissue_url: str, tmp_path: Path) -> Page:
    """A page with a scan open."""
    # dcm2niix has its own word on files that only look like DICOM.
    opened = open_page("/", flags=NO_GPU, url=tissue_url, expected=("Unable to find any DICOM",))
    wait_until_listed(opened, "tissue")
    drop(opened, write_scan(tmp_path / "good.nii.gz"))
    wait_for(opened, "ready")
    return opened


def _not_a_nifti(folder: Path) -> list[Path]:
    path = folder / "notes.nii"
    path.write_text("These are notes on a scan, not a scan. " * 20)
    return [path]


def _truncated_gzip(folder: Path) -> list[Path]:
    whole = write_scan(folder / "whole.nii.gz").read_bytes()
    path = folder / "half.nii.gz"
    path.write_bytes(whole[: len(whole) // 2])
    return [path]


def _truncated_voxels(folder: Path) -> list[Path]:
    whole = gzip.decompress(write_scan(folder / "whole.nii.gz").read_bytes())
    path = folder / "short.nii"
    path.write_bytes(whole[:-1000])
    return [path]


def _of_type(dtype: object) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        path = folder / "colours.nii.gz"
        nib.save(nib.Nifti1Image(np.zeros((9, 8, 7), dtype), np.eye(4)), path)
        return [path]

    return make


def _non_finite(folder: Path) -> list[Path]:
    data = head().astype(np.float32)
    data[3, 4, 5] = np.inf
    return [write_scan(folder / "holes.nii.gz", data)]


def _constant(folder: Path) -> list[Path]:
    return [write_scan(folder / "flat.nii.gz", np.full((20, 20, 20), 7, np.int16))]


def _absurd(folder: Path) -> list[Path]:
    content = bytearray(gzip.decompress(write_scan(folder / "whole.nii.gz").read_bytes()))
    content[42:48] = struct.pack("<3h", 32000, 32000, 32000)
    path = folder / "absurd.nii"
    path.write_bytes(content)
    return [path]


def _flat(folder: Path) -> list[Path]:
    return [write_scan(folder / "slice.nii.gz", np.ones((20, 20), np.int16))]


def _header_alone(folder: Path) -> list[Path]:
    nib.save(nib.Nifti1Pair(head(), np.eye(4)), folder / "pair.hdr")
    return [folder / "pair.hdr"]


def _dicom_series(folder: Path) -> list[Path]:
    paths = [folder / f"IM{n}" for n in range(3)]
    for path in paths:
        path.write_bytes(b"\0" * 128 + b"DICM")
    return paths


def _half_a_model(folder: Path) -> list[Path]:
    (folder / "model.json").write_text("{}")
    return [folder / "model.json"]


def _broken_zip(folder: Path) -> list[Path]:
    path = folder / "model.zip"
    path.write_bytes(b"PK\x03\x04 and then nothing")
    return [path]


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])

REFUSALS: dict[str, tuple[Callable[[Path], list[Path]], str]] = {
    "not a NIfTI": (_not_a_nifti, r"notes\.nii: not a NIfTI or MGH file.*expected"),
    "truncated gzip": (_truncated_gzip, r"half\.nii\.gz: the gzip stream ends early .*again"),
    "fewer voxels than announced": (_truncated_voxels, r"short\.nii: .*cut short"),
    "RGB": (_of_type(RGB), r"colours\.nii\.gz: voxels are RGB24, expected one real number per voxel"),
    "complex": (_of_type(np.complex64), r"colours\.nii\.gz: voxels are complex64, expected one real number per voxel"),
    "non-finite voxels": (_non_finite, r"holes\.nii\.gz: 1 of 43993 voxels are NaN or infinite; replace them"),
    "constant image": (_constant, r"flat\.nii\.gz: every voxel has the value 7"),
    "absurd dimensions": (_absurd, r"absurd\.nii: shape \(32000, 32000, 32000\)"),
    "a single slice": (_flat, r"slice\.nii\.gz: expected a 3-D volume, got shape \(20, 20\)"),
    "a header without its voxels": (_header_alone, r"pair\.hdr: .*\.img"),
    "DICOM": (_dicom_series, r"dcm2niix"),
    "a model without its weights": (_half_a_model, r"model\.json alone is not a model"),
    "a broken zip": (_broken_zip, r"model\.zip: cannot unpack"),
}


def test_every_bad_file_gets_its_sentence_and_the_open_scan_stays(page: Page, tmp_path: Path) -> None:
    summary = page.locator("#scan-summary").inner_text()
    for case, (make, sentence) in REFUSALS.items():
        folder = tmp_path / case.replace(" ", "-")
        folder.mkdir()

        drop(page, *make(folder))

        expect(status(page), case).to_have_text(re.compile(sentence), timeout=PATIENCE_MS)
        assert status(page).get_attribute("data-state") == "error", case
        assert "The scan opened before is still here." in status(page).inner_text(), case
        assert page.locator("#scan-summary").inner_text() == summary, case
        expect(page.get_by_test_id("run"), case).to_be_enabled()
    segment(page)
    assert sum(counts(page).values()) > 0


@pytest.mark.parametrize("chosen", [0, 1])
def test_of_a_4d_scan_the_first_frame_is_offered_and_another_can_be_typed(
    page: Page, tmp_path: Path, chosen: int
) -> None:
    frames = [head(), head()[::-1]]
    drop(page, write_scan(tmp_path / "series.nii.gz", np.stack(frames, axis=3)))
    expect(status(page)).to_contain_text("expected a 3-D volume, got shape (41, 37, 29, 2)", timeout=PATIENCE_MS)
    expect(page.locator("#scan-summary")).to_contain_text("good.nii.gz")

    expect(page.get_by_test_id("frame")).to_have_value("0")
    if chosen != 0:
        page.get_by_test_id("frame").fill("2")
        page.get_by_test_id("use-frame").click()  # there is no frame 2; the browser says so
        expect(page.get_by_test_id("use-frame")).to_be_visible()
        page.get_by_test_id("frame").fill(str(chosen))
    page.get_by_test_id("use-frame").click()
    wait_for(page, "ready")

    expect(page.locator("#scan-summary")).to_contain_text("series.nii.gz: 41 × 37 × 29")
    segment(page)
    of_frame = counts(page)
    drop(page, write_scan(tmp_path / "frame.nii.gz", frames[chosen]))
    expect(page.locator("#scan-summary")).to_contain_text("frame.nii.gz", timeout=PATIENCE_MS)
    segment(page)
    assert counts(page) == of_frame


def test_a_pair_of_header_and_voxels_is_one_scan(page: Page, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(head(), np.diag([4.0, 4.0, 5.0, 1.0])), tmp_path / "pair.hdr")

    drop(page, tmp_path / "pair.img", tmp_path / "pair.hdr")

    expect(page.locator("#scan-summary")).to_contain_text("pair.hdr: 41 × 37 × 29", timeout=PATIENCE_MS)
    segment(page)


def test_the_files_of_the_data_folder_that_no_model_can_take_are_refused_by_name(page: Page, shared_data: Path) -> None:
    geometry = shared_data / "scans" / "geometry"
    for name, sentence in {
        "niivue_complex.nii.gz": "complex",
        "nib_example4d.nii.gz": "expected a 3-D volume",
        "niivue_ras.hdr": r"\.img",
    }.items():
        drop(page, geometry / name)
        expect(status(page), name).to_have_text(re.compile(f"{name}.*{sentence}"), timeout=PATIENCE_MS)


def test_a_model_that_cannot_be_fetched_is_said_and_the_scan_stays(
    open_page: OpenPage, served: Served, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    write_model(folder, "tissue")
    address = served("--models", str(folder))
    page = open_page("/", flags=NO_GPU, url=address, expected=("Failed to load resource",))
    wait_until_listed(page, "tissue")
    drop(page, write_scan(tmp_path / "scan.nii.gz"))
    wait_for(page, "ready")
    page.context.route("**/models/**", lambda route: route.abort())

    page.get_by_test_id("run").click()
    expect(status(page)).to_contain_text("tissue: could not be downloaded", timeout=PATIENCE_MS)
    page.context.unroute("**/models/**")
    segment(page)
