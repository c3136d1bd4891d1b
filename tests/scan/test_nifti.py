"""Readable scans are read as by nibabel, unusable ones are refused by name, results keep the scan's header."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from meshnet.scan.nifti import LABEL_INTENT, new_header, read_header, read_scan, save_labels, save_volume, space_code
from meshnet.scan.scan_stream import ScanError
from tests.helpers.scan_files import READABLE, affine_of, blob, write_scan

SHAPE = (7, 5, 3)
OBLIQUE = affine_of(axes="LAS", rotation_deg=(10, 20, 30), voxel_size_mm=(1.0, 2.0, 3.0))


def counting(dtype: str = "int16") -> np.ndarray:
    return np.arange(np.prod(SHAPE), dtype=dtype).reshape(SHAPE)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_real_dtype_and_byte_order_reads_in_native_order(tmp_path: Path, dtype: str, order: str) -> None:
    header = nib.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(dtype))
    nib.save(nib.Nifti1Image(counting(dtype), OBLIQUE, header), tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii")
    assert np.array_equal(scan.data, counting(dtype))
    assert scan.data.dtype == np.dtype(dtype)
    assert scan.stored_dtype == np.dtype(dtype)
    assert scan.data.dtype.isnative


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_single_files_of_both_versions_read_alike(tmp_path: Path, kind: type, name: str) -> None:
    nib.save(kind(counting(), OBLIQUE), tmp_path / name)
    scan = read_scan(tmp_path / name)
    assert np.array_equal(scan.data, counting())
    assert np.allclose(scan.affine_vox2ras, OBLIQUE, atol=1e-5)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize("opened", ["a.hdr", "a.img"])
def test_a_pair_reads_by_either_of_its_files(tmp_path: Path, kind: type, opened: str) -> None:
    nib.save(kind(counting(), OBLIQUE), tmp_path / "a.img")
    assert np.array_equal(read_scan(tmp_path / opened).data, counting())


def test_a_compressed_file_reads_whatever_its_name_says(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.nii.gz", counting(), OBLIQUE)
    (tmp_path / "a.nii.gz").rename(tmp_path / "a.nii")
    assert np.array_equal(read_scan(tmp_path / "a.nii").data, counting())


def test_mgz_reads_with_its_own_affine_and_saves_as_nifti(tmp_path: Path) -> None:
    nib.save(nib.MGHImage(counting("float32"), OBLIQUE), tmp_path / "a.mgz")
    scan = read_scan(tmp_path / "a.mgz")
    assert np.array_equal(scan.data, counting("float32"))
    assert np.allclose(scan.affine_vox2ras, OBLIQUE, atol=1e-5)
    save_labels(tmp_path / "l.nii.gz", np.ones(SHAPE, np.uint8), scan.header)
    saved = nib.load(tmp_path / "l.nii.gz")
    assert np.allclose(saved.affine, OBLIQUE, atol=1e-5)
    assert saved.header["sform_code"] == saved.header["qform_code"] == 1


def test_slope_and_intercept_scale_in_double_precision(tmp_path: Path) -> None:
    image = nib.Nifti1Image(counting("uint8"), OBLIQUE)
    image.header.set_slope_inter(0.1, -3)
    nib.save(image, tmp_path / "a.nii")
    raw = patched(tmp_path / "a.nii", {112: np.float32(0.1).tobytes(), 116: np.float32(-3).tobytes()})
    scan = read_scan(raw)
    stored = np.frombuffer(raw.read_bytes()[352:], np.uint8).reshape(SHAPE, order="F")
    assert np.array_equal(scan.data, stored * np.float64(np.float32(0.1)) - 3)
    assert scan.stored_dtype == np.uint8


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_of_zero_or_none_means_not_scaled(tmp_path: Path, slope: float) -> None:
    path = write_scan(tmp_path / "a.nii", counting())
    patched(path, {112: np.float32(slope).tobytes(), 116: np.float32(9).tobytes()})
    assert np.array_equal(read_scan(path).data, counting())


def test_voxels_are_taken_from_vox_offset(tmp_path: Path) -> None:
    path = write_scan(tmp_path / "a.nii", counting())
    payload = path.read_bytes()
    path.write_bytes(payload[:352] + b"\x55" * 64 + payload[352:])
    patched(path, {108: np.float32(416).tobytes()})
    assert np.array_equal(read_scan(path).data, counting())


def test_sform_comes_before_qform_and_both_before_the_fallback(tmp_path: Path) -> None:
    image = nib.Nifti1Image(counting(), None)
    other = affine_of(voxel_size_mm=(2.0, 2.0, 2.0))
    image.set_qform(OBLIQUE, 1)
    nib.save(image, tmp_path / "qform.nii")
    image.set_sform(other, 4)
    nib.save(image, tmp_path / "sform.nii")
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    image.header.set_zooms((1, 2, 3))
    nib.save(image, tmp_path / "fallback.nii")
    assert np.allclose(read_scan(tmp_path / "qform.nii").affine_vox2ras, OBLIQUE, atol=1e-5)
    assert np.array_equal(read_scan(tmp_path / "sform.nii").affine_vox2ras, other)
    expected = [[-1, 0, 0, 3], [0, 2, 0, -4], [0, 0, 3, -3], [0, 0, 0, 1]]
    assert np.array_equal(read_scan(tmp_path / "fallback.nii").affine_vox2ras, expected)


def test_a_fourth_dimension_of_size_one_is_no_fourth_dimension(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.nii", counting().reshape(*SHAPE, 1, 1))
    assert np.array_equal(read_scan(tmp_path / "a.nii").data, counting())


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mgz"])
def test_a_frame_of_a_4d_file_can_be_picked(tmp_path: Path, name: str) -> None:
    frames = np.stack([counting("float32"), 3 - counting("float32")], axis=-1)
    image = nib.MGHImage(frames, OBLIQUE) if name.endswith("mgz") else nib.Nifti1Image(frames, OBLIQUE)
    nib.save(image, tmp_path / name)
    scan = read_scan(tmp_path / name, frame=1)
    assert np.array_equal(scan.data, frames[..., 1])
    assert scan.header.get_data_shape() == SHAPE
    with pytest.raises(ScanError, match=r"\(7, 5, 3, 2\); pick a frame with --frame 0 to --frame 1"):
        read_scan(tmp_path / name)
    with pytest.raises(ScanError, match="--frame 2 is out of range; this scan has frames 0 to 1"):
        read_scan(tmp_path / name, frame=2)


def patched(path: Path, changes: dict[int, bytes]) -> Path:
    """The file with bytes of its (uncompressed) header replaced."""
    payload = bytearray(path.read_bytes())
    for offset, new in changes.items():
        payload[offset : offset + len(new)] = new
    path.write_bytes(payload)
    return path


def text_file(path: Path) -> None:
    path.write_text("subject,age\n01,63\n")


def empty_file(path: Path) -> None:
    path.write_bytes(b"")


def dicom_file(path: Path) -> None:
    path.write_bytes(b"\0" * 128 + b"DICM" + b"\2\0\0\0" * 200)


def analyze_file(path: Path) -> None:
    nib.save(nib.AnalyzeImage(counting(), np.eye(4)), path.with_suffix(".img"))
    path.with_suffix(".hdr").rename(path)


def truncated_gzip(path: Path) -> None:
    write_scan(path.with_suffix(".nii.gz"), blob((20, 20, 20)).astype(np.float32))
    path.write_bytes(path.with_suffix(".nii.gz").read_bytes()[:9000])


def gzip_without_its_end(path: Path) -> None:
    write_scan(path.with_suffix(".nii.gz"), counting())
    path.write_bytes(path.with_suffix(".nii.gz").read_bytes()[:-4])


def damaged_gzip(path: Path) -> None:
    write_scan(path, counting())
    payload = bytearray(gzip.compress(path.read_bytes()))
    payload[-8] ^= 0xFF  # the checksum
    path.write_bytes(payload)


def cut_short(path: Path) -> None:
    write_scan(path, counting())
    path.write_bytes(path.read_bytes()[:-10])


def cut_in_a_later_frame(path: Path) -> None:
    write_scan(path, np.stack([counting()] * 2, -1))
    path.write_bytes(path.read_bytes()[:-10])


def cut_in_the_header(path: Path) -> None:
    nib.save(nib.Nifti2Image(counting(), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:400])


def lone_header(path: Path) -> None:
    nib.save(nib.Nifti1Pair(counting(), np.eye(4)), path.with_suffix(".img"))
    path.with_suffix(".img").unlink()
    path.with_suffix(".hdr").rename(path)


def rgb(path: Path) -> None:
    write_scan(path, np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]))


def rgba(path: Path) -> None:
    write_scan(path, np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")]))


def complex_voxels(path: Path) -> None:
    write_scan(path, counting().astype(np.complex64))


def non_finite(path: Path) -> None:
    data = counting("float32")
    data[0, 0, 0], data[1, 1, 1] = np.nan, -np.inf
    write_scan(path, data)


def constant(path: Path) -> None:
    write_scan(path, np.full(SHAPE, 12, np.int16))


def one_voxel_thin(path: Path) -> None:
    write_scan(path, counting().reshape(7, 15, 1))


def two_dimensional(path: Path) -> None:
    write_scan(path, counting().reshape(7, 15))


def five_dimensional(path: Path) -> None:
    write_scan(path, np.zeros((4, 4, 4, 1, 3), np.int16))


def zero_sized(path: Path) -> None:
    patched(write_scan(path, counting()), {42: np.int16(0).tobytes()})


def huge(path: Path) -> None:
    patched(write_scan(path, counting()), {42: np.array([2000, 2000, 2000], np.int16).tobytes()})


def unknown_dtype(path: Path) -> None:
    patched(write_scan(path, counting()), {70: np.int16(77).tobytes()})


def singular_sform(path: Path) -> None:
    patched(write_scan(path, counting()), {280: bytes(48), 254: np.int16(1).tobytes()})


def non_finite_sform(path: Path) -> None:
    patched(write_scan(path, counting()), {280: np.float32(np.nan).tobytes(), 254: np.int16(1).tobytes()})


def bad_quaternion(path: Path) -> None:
    forms = {252: np.int16(1).tobytes(), 254: np.int16(0).tobytes(), 256: np.full(3, 5, np.float32).tobytes()}
    patched(write_scan(path, counting()), forms)


def bad_intercept(path: Path) -> None:
    patched(write_scan(path, counting()), {112: np.float32(2).tobytes(), 116: np.float32(np.nan).tobytes()})


def bad_offset(path: Path) -> None:
    patched(write_scan(path, counting()), {108: np.float32(np.nan).tobytes()})


def negative_offset(path: Path) -> None:
    patched(write_scan(path, counting()), {108: np.float32(-16).tobytes()})


def mgh(path: Path) -> Path:
    nib.save(nib.MGHImage(counting("float32"), np.eye(4)), path.with_suffix(".mgh"))
    return path.with_suffix(".mgh").rename(path)


def short_mgh(path: Path) -> None:
    path.write_bytes(mgh(path).read_bytes()[:400])


def mgh_of_no_type(path: Path) -> None:
    patched(mgh(path), {20: np.array(77, ">i4").tobytes()})


def mgh_of_no_place(path: Path) -> None:
    patched(mgh(path), {30: np.array(np.nan, ">f4").tobytes()})


REFUSALS: list[tuple[Callable[[Path], None], str]] = [
    (text_file, 'not a NIfTI or MGH file .*it starts with "subject,"'),
    (empty_file, "the file is empty; get it again"),
    (dicom_file, "a DICOM file.*dcm2niix"),
    (analyze_file, "Analyze 7.5 header without NIfTI magic"),
    (truncated_gzip, "gzip stream ends early"),
    (gzip_without_its_end, "gzip stream ends early"),
    (damaged_gzip, "gzip stream is damaged"),
    (cut_short, "10 bytes of voxels are missing"),
    (cut_in_a_later_frame, "10 bytes of voxels are missing"),
    (cut_in_the_header, "the header ends after 400 of 540 bytes"),
    (lone_header, "its .img file is missing"),
    (rgb, "voxels are RGB24"),
    (rgba, "voxels are RGBA32"),
    (complex_voxels, "voxels are complex"),
    (non_finite, "2 of 105 voxels are NaN or infinite"),
    (constant, "every voxel has the value 12; a constant image"),
    (one_voxel_thin, r"shape \(7, 15, 1\) is no 3-D head scan; expected 2 to 2048 voxels per axis"),
    (two_dimensional, r"expected a 3-D volume, got shape \(7, 15\)"),
    (five_dimensional, r"expected a 3-D volume, got shape \(4, 4, 4, 1, 3\)"),
    (zero_sized, r"shape \(0, 5, 3\) is no 3-D head scan"),
    (huge, r"shape \(2000, 2000, 2000\) is no 3-D head scan; .*at most 268435456 in all"),
    (unknown_dtype, "voxels are unknown datatype code"),
    (singular_sform, "affine is singular or non-finite"),
    (non_finite_sform, "affine is singular or non-finite"),
    (bad_quaternion, "no affine can be made of its qform"),
    (bad_intercept, "the slope is .* but the intercept is"),
    (bad_offset, "vox_offset nan is not a valid position"),
    (negative_offset, "vox_offset -16 is not a valid position"),
    (short_mgh, "bytes of voxels are missing"),
    (mgh_of_no_type, "damaged MGH header"),
    (mgh_of_no_place, "affine is singular or non-finite"),
]


@pytest.mark.parametrize(("make", "message"), REFUSALS, ids=[make.__name__ for make, _ in REFUSALS])
def test_an_unusable_scan_is_refused_by_name(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    path = tmp_path / ("sub-01.hdr" if make is lone_header else "sub-01.nii")
    make(path)
    with pytest.raises(ScanError, match=message) as refusal:
        read_scan(path, frame=0 if make is cut_in_a_later_frame else None)
    assert str(refusal.value).startswith(str(path))


def test_saving_keeps_both_forms_codes_units_and_voxel_sizes(tmp_path: Path) -> None:
    source = nib.Nifti1Image(counting(), None, nib.Nifti1Header(endianness=">"))
    source.set_qform(OBLIQUE, 1)
    source.set_sform(affine_of(shear=0.2), 3)
    source.header.set_xyzt_units("mm", "sec")
    source.header["cal_max"] = 99
    nib.save(source, tmp_path / "a.nii")
    labels = (counting() % 3).astype(np.uint8)
    save_labels(tmp_path / "out" / "l.nii.gz", labels, read_scan(tmp_path / "a.nii").header)
    saved = nib.load(tmp_path / "out" / "l.nii.gz")
    assert np.array_equal(np.asanyarray(saved.dataobj), labels)
    assert saved.get_data_dtype() == np.uint8
    assert (saved.dataobj.slope, saved.dataobj.inter) == (1, 0)
    assert np.array_equal(saved.get_sform(), source.get_sform())
    assert np.array_equal(saved.get_qform(), source.get_qform())
    assert (saved.header["qform_code"], saved.header["sform_code"]) == (1, 3)
    assert saved.header.get_zooms() == source.header.get_zooms()
    assert saved.header.get_xyzt_units() == ("mm", "sec")
    assert saved.header["cal_max"] == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["l.nii.gz"]


def test_saving_a_frame_of_a_nifti2_file_makes_a_3d_nifti2_file(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(np.stack([counting()] * 4, -1), OBLIQUE), tmp_path / "a.nii")
    header = read_scan(tmp_path / "a.nii", frame=2).header
    save_labels(tmp_path / "l.nii.gz", np.zeros(SHAPE, np.uint8), header)
    saved = nib.load(tmp_path / "l.nii.gz")
    assert isinstance(saved, nib.Nifti2Image)
    assert saved.shape == SHAPE
    assert np.array_equal(saved.affine, OBLIQUE)


def test_saving_is_reproducible_and_refuses_labels_of_another_grid(tmp_path: Path) -> None:
    header = new_header(OBLIQUE, SHAPE, code=2)
    assert space_code(header) == 2
    for name in ("a.nii.gz", "b.nii.gz"):
        save_labels(tmp_path / name, counting("uint8"), header)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
    with pytest.raises(ValueError, match=r"expected uint8 voxels of shape \(7, 5, 3\), got int16 \(7, 5, 3\)"):
        save_labels(tmp_path / "c.nii.gz", counting(), header)


def test_saved_labels_say_in_their_header_that_they_are_labels_and_volumes_do_not(tmp_path: Path) -> None:
    for kind, name in ((nib.Nifti1Image, "a.nii"), (nib.Nifti2Image, "b.nii")):
        nib.save(kind(counting(), OBLIQUE), tmp_path / name)
        header = read_scan(tmp_path / name).header
        save_labels(tmp_path / "l.nii.gz", counting("uint8"), header)
        save_volume(tmp_path / "v.nii.gz", counting("uint8"), header)
        assert nib.load(tmp_path / "l.nii.gz").header.get_intent()[0] == "label"
        assert int(read_header(tmp_path / "l.nii.gz")["intent_code"]) == LABEL_INTENT
        assert int(read_header(tmp_path / "v.nii.gz")["intent_code"]) == int(header["intent_code"]) == 0


def test_a_header_is_read_of_a_file_whose_voxels_are_missing(tmp_path: Path) -> None:
    write_scan(tmp_path / "a.nii", counting(), OBLIQUE)
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:352])
    assert read_header(tmp_path / "a.nii").get_data_shape() == SHAPE
    (tmp_path / "a.nii").write_bytes((tmp_path / "a.nii").read_bytes()[:100])
    with pytest.raises(ScanError, match=r"a\.nii: "):
        read_header(tmp_path / "a.nii")


@pytest.mark.parametrize("name", READABLE)
def test_real_files_of_hard_geometry_read_as_nibabel_reads_them(shared_data: Path, name: str) -> None:
    path = shared_data / "scans" / "geometry" / name
    scan, image = read_scan(path), nib.load(path)
    assert np.array_equal(scan.data, np.asanyarray(image.dataobj))
    assert np.array_equal(scan.affine_vox2ras, image.affine)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("geometry/niivue_ct_perfusion.nii.gz", "RGB24"),
        ("geometry/niivue_complex.nii.gz", "complex"),
        ("geometry/nib_example4d.nii.gz", r"\(128, 96, 24, 2\); pick a frame with --frame"),
        ("geometry/nib_example_nifti2.nii.gz", r"\(32, 20, 12, 2\); pick a frame with --frame"),
        ("dicom_epi/axial_epi_fmri_interleaved_i_to_s-00001.dcm", "a DICOM file"),
        ("dicom_epi/README-Series.txt", "not a NIfTI or MGH file"),
    ],
)
def test_real_files_that_cannot_be_used_are_refused_by_name(shared_data: Path, name: str, message: str) -> None:
    with pytest.raises(ScanError, match=message):
        read_scan(shared_data / "scans" / name)
