"""DICOM becomes NIfTI: recognised by content, one file per series, where the slices say that they are."""

from __future__ import annotations

import re
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from meshnet.scan.archive import unpack
from meshnet.scan.dicom import convert_dicom, is_dicom
from meshnet.scan.nifti import read_scan
from meshnet.scan.scan_stream import ScanError
from tests.helpers.dicom_series import set_transfer_syntax, write_series
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
    assert series.path is not None
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
    assert series.path is not None
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
    assert files == {"a.zip", "deep/er/to/s/a.nii", "deep/er/to/escaped.nii"}
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("inner.zip", b"PK")
    with pytest.raises(ScanError, match=r"b\.zip: inner\.zip is inside another zip; unpack the outer zip first"):
        unpack(tmp_path / "b.zip", tmp_path / "to")
    (tmp_path / "c.zip").write_bytes((tmp_path / "a.zip").read_bytes()[:60])
    with pytest.raises(ScanError, match=r"c\.zip: the zip can't be unpacked"):
        unpack(tmp_path / "c.zip", tmp_path / "to")


def test_a_zip_that_is_encrypted_empty_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def zipped(name: str, *members: str) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in members:
                archive.writestr(member, bytes(5000))
        return tmp_path / name

    encrypted = zipped("a.zip", "scan.nii")
    content = bytearray(encrypted.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    encrypted.write_bytes(content)
    for path, sentence in (
        (encrypted, "a.zip: the zip is encrypted; unpack it first"),
        (zipped("b.zip"), "b.zip: the zip holds no files; get it again"),
        (
            zipped("c.zip", f"{'x' * 300}.nii"),
            "c.zip: the zip can't be unpacked (File name too long); unpack it yourself",
        ),
    ):
        with pytest.raises(ScanError) as refusal:
            unpack(path, tmp_path / "to")
        assert str(refusal.value).endswith(sentence)
    monkeypatch.setattr("meshnet.scan.archive.MOST_BYTES", 4000)
    with pytest.raises(ScanError, match=r"d\.zip: the zip unpacks to 0\.0 GiB, more than"):
        unpack(zipped("d.zip", "scan.nii"), tmp_path / "to")


def test_two_visits_under_one_series_uid_are_two_scans(tmp_path: Path) -> None:
    files = [
        *write_series(tmp_path / "in", name="A{:04d}"),
        *write_series(tmp_path / "in", name="B{:04d}", date="20210606", data=head()[:, :, ::-1].copy()),
    ]
    series = convert_dicom(files, tmp_path / "work", where="in")
    assert [s.name for s in series] == ["3_T2_test_part1", "3_T2_test_part2"]
    for one in series:
        texts = [note.text for note in one.notes]
        assert any(text.startswith("dcm2niix: Slices not stacked: Study Date/Time") for text in texts)
        assert not any("2021" in text for text in texts), "the dates of a patient"


def test_a_series_that_dcm2niix_left_out_is_an_error_beside_the_others(tmp_path: Path) -> None:
    good, cut = write_series(tmp_path / "a"), write_series(tmp_path / "b", number=4)
    cut[0].write_bytes(cut[0].read_bytes()[:-1000])
    converted, missing = convert_dicom([*good, *cut], tmp_path / "work", where="in")
    assert converted.name == "3_T2_test"
    assert converted.error is None
    assert missing.error == (
        "in: not all of 80 DICOM files could be converted (some of them are damaged: File not large enough to store "
        f"image data: {cut[0].name}); get them again"
    )


def test_a_series_without_pixel_spacing_is_refused_and_its_neighbour_converted(tmp_path: Path) -> None:
    good, unsized = write_series(tmp_path / "a"), write_series(tmp_path / "b", number=4)
    for path in unsized:
        slice_ = dcmread(path)
        del slice_.PixelSpacing
        slice_.save_as(path)
    series = {s.name: s for s in convert_dicom([*good, *unsized], tmp_path / "work", where="in")}
    assert series["3_T2_test"].error is None
    assert series["4_T2_test"].path is None
    assert series["4_T2_test"].error == (
        "in: 4_T2_test has no PixelSpacing; volumes could not be measured; export the series again"
    )


SYNTAX = "the transfer syntax is"


@pytest.mark.parametrize(
    ("uid", "reason"),
    [
        ("1.2.840.10008.1.2.1.99", f"{SYNTAX} deflated (1.2.840.10008.1.2.1.99), which dcm2niix cannot read"),
        ("1.2.840.10008.1.2.4.110", f"{SYNTAX} JPEG XL (1.2.840.10008.1.2.4.110), which dcm2niix cannot read"),
        ("1.2.3.4", "it finds no image in them: Unsupported transfer syntax '1.2.3.4'"),
    ],
)
def test_a_transfer_syntax_that_cannot_be_read_is_named(uid: str, reason: str, tmp_path: Path) -> None:
    files = write_series(tmp_path / "in")
    for path in files:
        set_transfer_syntax(path, uid)
    with pytest.raises(ScanError, match=re.escape(f"in: 40 DICOM files could not be converted ({reason}")):
        convert_dicom(files, tmp_path / "work", where="in")
