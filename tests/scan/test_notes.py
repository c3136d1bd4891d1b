"""Repairs, assumptions and cut tissue are noted; a scan that can't be repaired is refused by its name."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from meshnet.scan.conform import conform
from meshnet.scan.head import LEAST_HEAD_ML, MOST_HEAD_ML
from meshnet.scan.label_files import check_replaceable, read_labels
from meshnet.scan.nifti import ScanError, read_scan, save_labels
from meshnet.scan.notes import TEXTS, fixed, general, make_note, percent
from meshnet.scan.outliers import clip_outliers
from tests.helpers.complaints import READ
from tests.helpers.heads import HEAD_AFFINE, head, write_head

REPO = Path(__file__).resolve().parents[2]


def codes(path: Path) -> list[str]:
    return [note.code for note in read_scan(path).notes]


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.2e-5, "0.0012 %"), (0.27499, "27 %"), (1, "100 %"), (0, "0 %"), (0.055, "5.5 %"), (3.7e-9, "0.00000037 %")],
)
def test_shares_have_two_significant_digits_and_no_exponent(share: float, text: str) -> None:
    assert percent(share) == text


def test_numbers_are_written_alike_on_both_sides() -> None:
    assert [fixed(x, 1) for x in (-42, 0.04, -0.04, 12.36)] == ["-42.0", "0.0", "0.0", "12.4"]
    assert [general(x) for x in (-32768, 1000, 0.5, 12.3456)] == ["-3.277e+04", "1000", "0.5", "12.35"]


def test_a_scan_without_faults_has_no_notes(tmp_path: Path) -> None:
    scan = read_scan(write_head(tmp_path / "a.nii"))
    assert scan.notes == ()
    conformed = conform(scan)
    assert conformed.notes == ()
    assert 1500 < conformed.head_ml < 2000


@pytest.mark.parametrize(("unit", "scale", "code"), [(3, 1000, "units-micron"), (1, 0.001, "units-metre")])
def test_sizes_in_other_units_are_converted(tmp_path: Path, unit: int, scale: float, code: str) -> None:
    affine = np.diag([scale, scale, scale, 1]) @ HEAD_AFFINE
    rows = {f"srow_{axis}": affine[row] for row, axis in enumerate("xyz")}
    path = write_head(tmp_path / "a.nii", xyzt_units=unit, **rows)
    scan = read_scan(path)
    assert [note.code for note in scan.notes] == [code]
    assert np.allclose(scan.affine_vox2ras, HEAD_AFFINE, rtol=1e-6, atol=1e-4)
    assert conform(scan).head_ml == pytest.approx(conform(read_scan(write_head(tmp_path / "b.nii"))).head_ml, rel=1e-5)


def test_a_result_of_a_scan_in_micrometres_keeps_its_header_and_is_recognised(tmp_path: Path) -> None:
    affine = np.diag([1000, 1000, 1000, 1]) @ HEAD_AFFINE
    rows = {f"srow_{axis}": affine[row] for row, axis in enumerate("xyz")}
    scan = read_scan(write_head(tmp_path / "a.nii", xyzt_units=3, **rows))
    save_labels(tmp_path / "l.nii.gz", (scan.data > 500).astype(np.uint8), scan.header)
    saved = nib.load(tmp_path / "l.nii.gz")
    assert int(saved.header["xyzt_units"]) == 3
    assert np.array_equal(saved.get_sform().astype(np.float32), affine.astype(np.float32))
    check_replaceable(tmp_path / "l.nii.gz", scan.affine_vox2ras, scan.data.shape)
    assert np.allclose(read_labels(tmp_path / "l.nii.gz")[1], scan.affine_vox2ras, atol=1e-6)


def test_a_scan_without_forms_is_read_with_a_note_and_without_any_size_is_refused(tmp_path: Path) -> None:
    assert codes(write_head(tmp_path / "a.nii", qform_code=0, sform_code=0)) == ["no-forms"]
    for sizes in ([1, 0, 0, 0, 1, 1, 1, 1], [1, 4, np.nan, 4, 1, 1, 1, 1]):
        for qform_code in (0, 1):
            path = write_head(tmp_path / "b.nii", qform_code=qform_code, sform_code=0, pixdim=sizes)
            with pytest.raises(ScanError, match=r"its header has no voxel size \(pixdim .*convert the original images"):
                read_scan(path)
    assert codes(write_head(tmp_path / "c.nii", pixdim=[-1, 0, 0, 0, 1, 1, 1, 1])) == [], "the sform has the sizes"


def test_forms_that_put_the_sides_differently_are_noted(tmp_path: Path) -> None:
    mirrored = HEAD_AFFINE @ np.diag([-1, 1, 1, 1])
    turned = HEAD_AFFINE @ np.diag([-1, -1, 1, 1])
    for other in (mirrored, turned):
        rows = {f"srow_{axis}": other[row] for row, axis in enumerate("xyz")}
        path = write_head(tmp_path / "a.nii", **rows)
        assert codes(path) == ["forms-disagree"]
        assert np.allclose(read_scan(path).affine_vox2ras, other, atol=1e-4)


def test_an_empty_sform_gives_way_to_a_good_qform(tmp_path: Path) -> None:
    rows = {f"srow_{axis}": np.zeros(4) for axis in "xyz"}
    path = write_head(tmp_path / "a.nii", **rows)
    assert codes(path) == ["sform-unusable"]
    assert np.allclose(read_scan(path).affine_vox2ras, HEAD_AFFINE, atol=1e-4)
    with pytest.raises(ScanError, match="affine is singular"):
        read_scan(write_head(tmp_path / "b.nii", qform_code=0, **rows))


@pytest.mark.parametrize("excess", [3.8e-7, 5e-6])
def test_a_quaternion_that_rounding_made_too_long_is_read_in_silence(tmp_path: Path, excess: float) -> None:
    fields = {"quatern_b": np.sqrt(excess), "quatern_c": 0, "quatern_d": 1, "sform_code": 0}
    scan = read_scan(write_head(tmp_path / "a.nii", **fields))
    assert scan.notes == ()
    assert np.allclose(scan.affine_vox2ras[:3, :3], np.diag([-4, -4, -4]), atol=4 * 2.1 * np.sqrt(excess))
    assert abs(np.linalg.det(scan.affine_vox2ras[:3, :3])) == pytest.approx(64, rel=1e-6)
    with pytest.raises(ScanError, match="no affine can be made of its qform"):
        read_scan(write_head(tmp_path / "b.nii", **(fields | {"quatern_b": 0.01})))


def test_one_file_with_the_magic_of_a_pair_is_read(tmp_path: Path) -> None:
    path = write_head(tmp_path / "a.nii", magic=b"ni1")
    assert codes(path) == ["magic-of-a-pair"]
    assert np.array_equal(read_scan(path).data, head())
    path.rename(tmp_path / "a.hdr")
    with pytest.raises(ScanError, match=r"its \.img file is missing"):
        read_scan(tmp_path / "a.hdr")


def test_a_single_file_called_img_is_read_by_its_content(tmp_path: Path) -> None:
    path = write_head(tmp_path / "a.img")
    assert np.array_equal(read_scan(path).data, head())


def test_dimensions_of_zero_after_the_third_count_as_one(tmp_path: Path) -> None:
    assert codes(write_head(tmp_path / "a.nii", dim=[4, 41, 52, 40, 0, 1, 1, 1])) == ["dim-zero"]
    assert codes(write_head(tmp_path / "a.nii", dim=[5, 41, 52, 40, 0, 0, 1, 1])) == ["dim-zero", "dim-zero"]
    with pytest.raises(ScanError, match="is no 3-D head scan"):
        read_scan(write_head(tmp_path / "b.nii", dim=[3, 41, 52, 0, 1, 1, 1, 1]))


def test_nan_is_read_as_zero_but_infinity_is_refused(tmp_path: Path) -> None:
    data = head().astype(np.float32)
    data[data < 100] = np.nan
    share = float(np.isnan(data).mean())
    scan = read_scan(write_head(tmp_path / "a.nii", data, datatype=16, bitpix=32))
    assert scan.notes == (make_note("nan-read-as-zero", share),)
    assert np.array_equal(scan.data, np.nan_to_num(data))
    data[0, 0, 0] = np.inf
    with pytest.raises(ScanError, match="voxels are NaN or infinite"):
        read_scan(write_head(tmp_path / "b.nii", data, datatype=16, bitpix=32))


def annexed(path: Path) -> None:
    path.write_text("/annex/objects/MD5E-s4104013--a3c9d6a1.nii.gz\n")


def lfs(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")


def unfetched(path: Path) -> None:
    path.symlink_to("../.git/annex/objects/x/y/MD5E-s1--a.nii.gz/MD5E-s1--a.nii.gz")


def dangling(path: Path) -> None:
    path.symlink_to("gone.nii.gz")


def page(path: Path) -> None:
    path.write_text("\n<!DOCTYPE html><html><head><title>Sign in</title></head></html>")


def twice(path: Path) -> None:
    write_head(path)
    path.write_bytes(gzip.compress(gzip.compress(path.read_bytes())))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (annexed, "is a pointer of git-annex / Git LFS, not the scan; fetch the content first"),
        (lfs, "is a pointer of git-annex / Git LFS, not the scan; fetch the content first"),
        (unfetched, "is a pointer of git-annex / Git LFS, not the scan; fetch the content first"),
        (dangling, "is a link to gone.nii.gz, which doesn't exist"),
        (page, r"is a web page \(HTML\), not a scan; download the file itself"),
        (twice, r"is compressed twice; unpack it once \(gunzip\) and try again"),
    ],
)
def test_a_file_that_stands_in_for_a_scan_is_called_by_its_kind(
    tmp_path: Path, make: Callable[[Path], None], sentence: str
) -> None:
    make(tmp_path / "a.nii.gz")
    with pytest.raises(ScanError, match=rf"a\.nii\.gz: {sentence}"):
        read_scan(tmp_path / "a.nii.gz")


def test_labels_given_as_a_scan_are_noted(tmp_path: Path) -> None:
    assert codes(write_head(tmp_path / "a.nii", (head() > 400).astype(np.int16))) == ["label-like"]


@pytest.mark.parametrize("value", [-32768, 32767])
@pytest.mark.parametrize("share", [0, 0.002])
def test_outliers_count_as_the_nearest_value_of_the_rest(tmp_path: Path, value: int, share: float) -> None:
    data = head()
    count = max(1, int(np.ceil(share * data.size)))
    places = np.random.default_rng(1).choice(data.size, count, replace=False)
    clean, spoilt = data.copy(), data.copy()
    clean.reshape(-1)[places] = data.min() if value < 0 else data.max()
    spoilt.reshape(-1)[places] = value
    conformed = conform(read_scan(write_head(tmp_path / "b.nii", spoilt)))
    (note,) = conformed.notes
    assert note.code == "outliers-clipped"
    assert note.text.startswith(
        f"{percent(count / data.size)} of the voxels ({count}) have values far outside the rest"
    )
    assert np.array_equal(conformed.data, conform(read_scan(write_head(tmp_path / "a.nii", clean))).data)


def test_data_without_outliers_is_returned_as_it_is() -> None:
    data = head()
    for volume in (data, np.zeros_like(data), data.astype(np.float32) - 1024):
        clipped, notes = clip_outliers(volume)
        assert clipped is volume
        assert notes == []


def test_the_cube_moves_onto_a_head_at_the_top_of_a_large_field_of_view(tmp_path: Path) -> None:
    low = conform(read_scan(write_head(tmp_path / "a.nii")))
    tall = conform(read_scan(write_head(tmp_path / "b.nii", head((41, 52, 85), (20, 26, 65)))))
    assert [note.code for note in tall.notes] == ["cube-moved"]
    assert tall.affine_vox2ras[2, 3] > low.affine_vox2ras[2, 3]
    assert (tall.data > 60).sum() == pytest.approx((low.data > 60).sum(), rel=0.02)


def test_a_head_in_the_cube_stays_where_it_is_however_large_the_field_of_view(tmp_path: Path) -> None:
    scan = read_scan(write_head(tmp_path / "a.nii", head((41, 52, 85), (20, 26, 42))))
    assert conform(scan).notes == ()


def test_what_is_taller_than_the_cube_keeps_its_top_and_the_rest_is_measured(tmp_path: Path) -> None:
    data = head((41, 52, 85), (20, 26, 65))
    data[14:27, 20:33, :50] = 500  # a neck down to the lowest slice
    conformed = conform(read_scan(write_head(tmp_path / "a.nii", data)))
    assert [note.code for note in conformed.notes] == ["cube-moved", "cut-off"]
    assert "mL of the head lie outside the 256 mm cube and are not segmented" in conformed.notes[1].text
    planes = np.flatnonzero((conformed.data > 60).any(axis=(0, 2)))
    assert planes[0] <= 3, "the top of the head lies at the top of the cube"


def test_a_volume_that_is_no_heads_is_noted(tmp_path: Path) -> None:
    small = HEAD_AFFINE @ np.diag([0.25, 0.25, 0.25, 1])
    rows = {f"srow_{axis}": small[row] for row, axis in enumerate("xyz")}
    (note,) = conform(read_scan(write_head(tmp_path / "a.nii", qform_code=0, **rows))).notes
    assert note.code == "not-head-sized"
    assert LEAST_HEAD_ML < 1000 < MOST_HEAD_ML


def test_every_code_is_in_the_table_of_the_page() -> None:
    listed = (REPO / "docs" / "inputs.md").read_text()
    assert [code for code in TEXTS if f"`{code}`" not in listed] == []


@pytest.mark.parametrize("name", READ)
def test_a_real_complaint_is_read_with_its_note(shared_cases: Path, name: str) -> None:
    scan = read_scan(shared_cases / name)
    conformed = conform(scan)
    assert [note.code for note in (*scan.notes, *conformed.notes)] == READ[name]
    assert conformed.head_ml == pytest.approx(3257, rel=0.02)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pixdim_zero_no_forms.nii.gz", r"no voxel size \(pixdim 0, 0, 0\) and no affine"),
        ("gzip_twice.nii.gz", "is compressed twice"),
        ("annex_pointer.nii.gz", "is a pointer of git-annex"),
    ],
)
def test_a_real_complaint_that_cannot_be_repaired_is_refused(shared_cases: Path, name: str, sentence: str) -> None:
    with pytest.raises(ScanError, match=sentence):
        read_scan(shared_cases / name)
