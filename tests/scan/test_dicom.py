"""DICOM becomes NIfTI: recognised by content, one file per series, where the slices say that they are."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from meshnet.scan.archive import unpack
from meshnet.scan.dicom import convert_dicom, is_dicom
from meshnet.scan.nifti import read_scan
from meshnet.scan.scan_stream import ScanError
from tests.helpers.dicom_series import write_series
from tests.helpers.heads import HEAD_AFFINE, head, write_head


def test_dicom_is_recognised_by_its_content(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path, data=head()[:, :, :1])
    content = path.read_bytes()
    for name, start in {"no preamble": 128, "no mark": 132}.items():
        (tmp_path / name).write_bytes(content[start:])
    data = content.index(b"\x08\x00\x16\x00UI")  # the first element after the meta header
    (tmp_path / "data set alone").write_bytes(content[data:])
    names = ["no preamble", "no mark", "data set alone", path.name]
    assert [name for name in names if not is_dicom(tmp_path / name)] == []
    write_head(tmp_path / "a.nii")
    (tmp_path / "short").write_bytes(b"\x08\0")
    assert not any(is_dicom(tmp_path / name) for name in ("a.nii", "short", "missing"))


def test_an_oblique_series_lies_where_its_slices_say(tmp_path: Path) -> None:
    files = write_series(tmp_path / "in")
    (series,) = convert_dicom(files, tmp_path / "work", where="in")
    assert series.name == "3_T2_test"
    scan = read_scan(series.path)
    voxel = np.array([11, 30, 7])  # asymmetric in every axis
    world = HEAD_AFFINE @ [*voxel, 1]
    found = np.linalg.solve(scan.affine_vox2ras, world)[:3]
    assert np.allclose(found, np.rint(found), atol=1e-3)
    assert scan.data[tuple(np.rint(found).astype(int))] == head()[tuple(voxel)]
    assert abs(np.linalg.det(scan.affine_vox2ras)) == pytest.approx(64, rel=1e-4)


def test_each_series_is_converted_and_equal_names_are_told_apart_by_date(tmp_path: Path) -> None:
    files = [
        *write_series(tmp_path / "a", date="20200101", study="1.2.826.0.1.1"),
        *write_series(tmp_path / "b", date="20210606", study="1.2.826.0.1.2"),
        *write_series(tmp_path / "c", number=4, description="FLAIR", study="1.2.826.0.1.1"),
    ]
    series = convert_dicom(files, tmp_path / "work", where="disc")
    assert [s.name for s in series] == ["3_T2_test_20200101", "3_T2_test_20210606", "4_FLAIR"]


def test_of_a_series_with_missing_slices_the_resampled_image_is_taken_and_noted(tmp_path: Path) -> None:
    files = write_series(tmp_path / "in", without=(18, 19, 20))
    (series,) = convert_dicom(files, tmp_path / "work", where="in")
    assert series.name == "3_T2_test_Eq_1"
    codes = [note.code for note in series.notes]
    assert codes[0] == "dicom-resampled"
    assert "slices are missing or unevenly spaced" in series.notes[0].text
    assert any("nterslice distance varies" in note.text for note in series.notes if note.code == "dicom-warning")
    assert nib.load(series.path).shape[2] > len(files)


def test_what_cannot_be_converted_is_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = write_series(tmp_path / "in", data=head()[:, :, :1])
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(ScanError, match=r"in: 1 DICOM file could not be converted \(.+\); convert them yourself"):
        convert_dicom([path], tmp_path / "work", where="in")
    monkeypatch.setitem(sys.modules, "dcm2niix", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ScanError, match=r"in: is DICOM, and dcm2niix is not installed; pip install 'meshnet\[dicom\]'"):
        convert_dicom([path], tmp_path / "work2", where="in")


def test_a_zip_is_unpacked_without_hidden_files_and_never_outside_its_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("s/a.nii", "s/.DS_Store", "__MACOSX/s/._a.nii", "../../escaped.nii"):
            archive.writestr(name, b"x")
    unpack(tmp_path / "a.zip", tmp_path / "deep" / "er" / "to")
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"a.zip", "deep/er/to/s/a.nii"} | ({"deep/er/to/escaped.nii"} & files)
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("inner.zip", b"PK")
    with pytest.raises(ScanError, match=r"b\.zip: inner\.zip is inside another zip; unpack the outer zip first"):
        unpack(tmp_path / "b.zip", tmp_path / "to")
    (tmp_path / "c.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:60])
    with pytest.raises(ScanError, match=r"c\.zip: the zip can't be unpacked"):
        unpack(tmp_path / "c.zip", tmp_path / "to")
