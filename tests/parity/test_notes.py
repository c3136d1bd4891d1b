"""Both sides read, repair, cut and refuse the same files, with the same notes."""

from __future__ import annotations

import bz2
import gzip
import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from meshnet.infer.run_notes import contrast_notes, fluid_notes, result_notes
from meshnet.model.spec import ModelSpec, dump_spec
from meshnet.scan.conform import conform
from meshnet.scan.dicom_output import failure_reason, incomplete_reason, last_fault, unsupported_syntax, warnings_of
from meshnet.scan.label_files import maps_tissue_of, names_labels
from meshnet.scan.nifti import ScanError, read_scan
from tests.helpers.export_models import small_model
from tests.helpers.joint_model import joint_spec
from tests.helpers.parity.prepared import SMALL_GRID, Site, write_nifti
from tests.helpers.scan_files import affine_of

OBLIQUE = affine_of(axes="PSR", rotation_deg=(4, -6, 9), voxel_size_mm=(6, 5, 7))


def head(
    shape: tuple[int, int, int] = (36, 40, 33), *, at: tuple[float, float, float] = (0.5, 0.5, 0.5)
) -> NDArray[np.float32]:
    """A textured ball of 150 mm in noisy air; `at`: its centre as a share of each axis."""
    i, j, k = np.indices(shape, dtype=np.float64)
    place = [(x - share * (n - 1)) * mm for x, share, n, mm in zip((i, j, k), at, shape, (6, 5, 7), strict=True)]
    inside = np.sqrt(sum(x**2 for x in place)) < 75
    noise = np.random.default_rng(3).random(shape)
    voxels: NDArray[np.float32] = np.where(inside, 300 + 200 * noise, 9 * noise).astype(np.float32)
    return voxels


def packed(offset: int, form: str, *values: float | bytes) -> Callable[[bytes], bytes]:
    new = struct.pack(form, *values)
    return lambda content: content[:offset] + new + content[offset + len(new) :]


def spiked(*values: tuple[int, float]) -> NDArray[Any]:
    data = head()
    for voxel, value in values:
        data.flat[voxel] = value
    return data


def many(value: float, share: float) -> NDArray[Any]:
    data = head()
    data.flat[:: int(1 / share)] = value
    return data


def as_ct() -> NDArray[np.int16]:
    """The ball in Hounsfield units: air, brain and a shell of bone."""
    grey = head()
    bone = (grey > 100) & ~np.asarray(ndimage.binary_erosion(grey > 100))
    return np.where(bone, grey + 700, np.where(grey > 100, grey / 2 - 190, grey - 1000)).astype(np.int16)


def in_circle(ct: NDArray[np.int16]) -> NDArray[np.int16]:
    """A scanner's circular field of view, with -2000 outside."""
    i, _, k = np.indices(ct.shape)
    return np.where(np.hypot(i - 17.5, k - 16) < 17, ct, -2000).astype(np.int16)


def turned() -> list[float]:
    """The sform of OBLIQUE turned by half a turn about the left-right axis."""
    rows: list[float] = (np.diag([1.0, -1.0, -1.0]) @ OBLIQUE[:3]).ravel().tolist()
    return rows


def probabilities() -> NDArray[np.float32]:
    """The ball as a smooth probability map with an edge of some mm, 0 far outside."""
    i, j, k = np.indices((36, 40, 33), dtype=np.float64)
    beyond_mm = np.sqrt(((i - 17.5) * 6) ** 2 + ((j - 19.5) * 5) ** 2 + ((k - 16) * 7) ** 2) - 75
    return np.where(beyond_mm < 14, 1 / (1 + np.exp(beyond_mm / 2.5)), 0).astype(np.float32)


#: The ball without its air, scaled to 0..1 and clipped at both ends.
SCALED = np.where(head() < 100, 0, np.clip((head() - 310) / 180, 0, 1)).astype(np.float32)
NAN_AIR = np.where(head() < 100, np.nan, head()).astype(np.float32)
#: Notes on a scan whose air is taken for tissue.
BRIGHT_AIR = ["cube-moved", "cut-off", "not-head-sized", "looks-inverted"]
Change = Callable[[bytes], bytes]
QFORM = {"sform": 0, "qform": 1}

#: Name -> voxels, options of `write_nifti`, change of the file's bytes, and the codes of the notes.
FILES: dict[str, tuple[Any, dict[str, Any], Change, list[str]]] = {
    "nothing wrong": (head(), {}, bytes, []),
    "NaN air": (NAN_AIR, {}, bytes, ["nan-read-as-zero"]),
    "NaN air, scaled": (NAN_AIR, {"slope": 0.5, "inter": 3}, bytes, ["nan-read-as-zero"]),
    "micrometres": (head(), {}, packed(123, "B", 3), ["units-micron", "not-head-sized"]),
    "metres": (head(), {}, packed(123, "B", 9), ["units-metre", "cube-moved", "cut-off", "not-head-sized"]),
    "no unit": (head(), {}, packed(123, "B", 0), []),
    "no form": (head(), {"sform": 0}, bytes, ["no-forms"]),
    "mirrored forms": (head(), {"qform": 2}, packed(288, "<f", -7), ["forms-disagree"]),
    "forms agree": (head(), {"qform": 2}, bytes, []),
    "an impossible qform beside the sform": (head(), {"qform": 2}, packed(256, "<3f", 1, 1, 1), []),
    "zero sform, good qform": (head(), {"qform": 1}, packed(280, "<12f", *[0] * 12), ["sform-unusable"]),
    "NaN sform, good qform": (head(), {"qform": 1}, packed(280, "<f", float("nan")), ["sform-unusable"]),
    "a quaternion a hair too long": (head(), QFORM, packed(256, "<3f", 1.0000002, 0, 0), []),
    "a quaternion 4e-6 too long": (head(), QFORM, packed(256, "<3f", 0, 1.000004, 0), []),
    "a quaternion a hair too short": (head(), QFORM, packed(256, "<3f", 0.999999, 0, 0), []),
    "a pair's magic": (head(), {}, packed(344, "4s", b"ni1\0"), ["magic-of-a-pair"]),
    "a pair's magic, NIfTI-2": (head(), {"version": 2}, packed(4, "4s", b"ni2\0"), ["magic-of-a-pair"]),
    "dim[4] is 0": (head(), {}, lambda b: packed(48, "<h", 0)(packed(40, "<h", 4)(b)), ["dim-zero"]),
    "two of dim are 0": (head(), {}, lambda b: packed(48, "<3h", 0, 1, 0)(packed(40, "<h", 6)(b)), ["dim-zero"] * 2),
    "labels": ((head() > 100).astype(np.int16) * 17, {}, bytes, ["label-like"]),
    "labels with a negative one": ((head() > 100).astype(np.int16) - 1, {}, bytes, ["few-values"]),
    "a mask stored as 0.99999": ((head() > 100).astype(np.float32) * 0.99999, {}, bytes, ["few-values"]),
    "a probability map": (probabilities(), {}, bytes, ["probability-like"]),
    "a probability map stored as bytes": (
        np.rint(255 * probabilities()).astype(np.uint8),
        {"slope": 1 / 255},
        bytes,
        ["probability-like"],
    ),
    "a scan without its air, scaled to 0..1": (SCALED, {}, bytes, []),
    "air of -32768": (np.where(head() < 100, -32768, head()).astype(np.int16), {}, bytes, ["fill-values"]),
    "two fill values": (np.where(head() < 5, -9999, many(-32768, 0.02)), {}, bytes, ["fill-values"]),
    "a percent far above": (many(30000, 0.01), {}, bytes, ["grey-scale-narrow"]),
    "a percent far below": (spiked(*((n, -2e4 - n) for n in range(0, 40000, 70))), {}, bytes, ["grey-scale-narrow"]),
    "a negative slope": (head(), {"slope": -1.0}, bytes, BRIGHT_AIR),
    "bright air": (1000 - head(), {}, bytes, BRIGHT_AIR),
    "vox_offset within the header": (head(), {}, packed(108, "<f", 350), ["offset-repaired"]),
    "no flags after the header": (head(), {}, lambda b: packed(108, "<f", 348)(b[:348] + b[352:]), ["offset-repaired"]),
    "vox_offset 0 and no flags": (head(), {}, lambda b: packed(108, "<f", 0)(b[:348] + b[352:]), ["offset-repaired"]),
    "a pair's magic, vox_offset 348": (
        head(),
        {},
        lambda b: packed(108, "<f", 348)(packed(344, "4s", b"ni1\0")(b)),
        ["magic-of-a-pair", "offset-repaired"],
    ),
    "a code of the sform that NIfTI lacks": (head(), {"qform": 1}, packed(254, "<h", 100), ["form-code-unknown"]),
    "upside down by the qform": (head(), {"qform": 1}, packed(280, "<12f", *turned()), ["forms-disagree"]),
    "pixdim of another scan": (head(), {}, packed(80, "<3f", 1, 1, 1), ["sizes-disagree"]),
    "one voxel of -32768": (spiked((99, -32768)), {}, bytes, ["outliers-clipped"]),
    "one int16 voxel of -32768": (spiked((99, -32768)).astype(np.int16), {}, bytes, ["outliers-clipped"]),
    "voxels of either sign": (spiked((99, -1e6), (77, 5e7), (7, 1e5)), {}, bytes, ["outliers-clipped"]),
    "a fifth of a percent": (many(-20000, 0.002), {}, bytes, ["outliers-clipped"]),
    "a bright vessel": (spiked((99, 3000)), {}, bytes, []),
    "head at the top of a tall field of view": (head((36, 80, 33), at=(0.5, 0.8, 0.5)), {}, bytes, ["cube-moved"]),
    "head at one side": (head((36, 40, 60), at=(0.5, 0.5, 0.2)), {}, bytes, ["cube-moved"]),
    "head in the middle of a tall field of view": (head((36, 80, 33)), {}, bytes, []),
    "the top of the head is missing": (head()[:, :30], {}, bytes, ["head-cut"]),
    "a slab": (head()[:, 12:28], {}, bytes, ["head-cut"]),
    "the face and one side are missing": (head()[8:, :, :25], {}, bytes, ["head-cut"]),
    "a cut head in zeros": (np.pad(head()[:, :30], ((0, 0), (2, 9), (3, 3))), {}, bytes, ["head-cut"]),
    "the neck leaves the field of view": (head((36, 40, 33), at=(0.5, 0.3, 0.5)), {}, bytes, []),
    "a CT": (as_ct(), {}, bytes, ["looks-like-ct"]),
    "a CT with 1024 added": (as_ct() + 1024, {}, bytes, ["looks-like-ct"]),
    "a CT by slope and intercept": (as_ct() + 1024, {"inter": -1024}, bytes, ["looks-like-ct"]),
    "a CT in a circle of -2000": (in_circle(as_ct()), {}, bytes, ["cube-moved", "looks-like-ct"]),
    "signed MRI": (head() - 40, {}, bytes, []),
    "a head of 6 mL": (head()[15:20, 18:22, 14:18], {}, bytes, ["not-head-sized"]),
}  # fmt: skip

GRID: dict[str, Any] = {"size": 64, "voxelSizeMm": 4.0}


@pytest.mark.parametrize("name", FILES)
def test_both_say_the_same_of(name: str, site: Site, tmp_path: Path) -> None:
    data, options, change, codes = FILES[name]
    path = write_nifti(tmp_path / "scan.nii", data, OBLIQUE, **options)
    path.write_bytes(change(path.read_bytes()))
    scan = read_scan(path)
    conformed = conform(scan, size=GRID["size"], voxel_size_mm=GRID["voxelSizeMm"])
    (result,) = site([{"files": [str(path)], "out": str(tmp_path / "out"), "grid": GRID}])
    assert "error" not in result, result
    notes = [{"code": note.code, "text": note.text} for note in (*scan.notes, *conformed.notes)]
    assert result["notes"] == notes
    assert [note["code"] for note in notes] == codes
    assert np.allclose(np.reshape(result["affine"], (4, 4)), scan.affine_vox2ras, rtol=1e-12, atol=1e-9)
    assert np.allclose(np.reshape(result["conformedAffine"], (4, 4)), conformed.affine_vox2ras, rtol=0, atol=1e-9)
    assert result["headMl"] == pytest.approx(conformed.head_ml, rel=1e-9)
    grey = np.fromfile(tmp_path / "out/conformed.u8", np.uint8).reshape(conformed.data.shape, order="F").astype(int)
    assert np.count_nonzero(grey != conformed.data) <= 10


NO_SIZE = "its header has no voxel size (pixdim {}) and no affine; volumes could not be measured; convert the original "
POINTER = (
    "is a pointer of git-annex / Git LFS, not the scan; fetch the content first (git annex get / datalad get / git l"
)

#: Options of `write_nifti`, change of a good file, and what both sides say of it.
REFUSED: dict[str, tuple[dict[str, Any], Change, str]] = {
    "no voxel size": ({"sform": 0}, packed(80, "<3f", 0, 0, 0), NO_SIZE.format("0, 0, 0")),
    "a voxel size of NaN": ({"sform": 0}, packed(84, "<f", float("nan")), NO_SIZE.format("6, nan, 7")),
    "no voxel size, and a qform": (QFORM, packed(88, "<f", 0), NO_SIZE.format("6, 5, 0")),
    "zero sform alone": ({}, packed(280, "<12f", *[0] * 12), "its affine is singular or non-finite"),
    "a quaternion far too long": (QFORM, packed(256, "<3f", 1.0001, 0, 0), "no affine can be made of its qform"),
    "a field of view of kilometres": (
        {"sform": 0},
        packed(80, "<f", 1e20),
        "its voxels of 1e+20 x 5 x 7 mm span 3.6e+21 mm and lie",
    ),
    "a place beyond the float's precision": ({}, packed(292, "<f", 1e30), "lie 1e+30 mm from the origin"),
    "dim[0] is 8": ({}, packed(40, "<h", 8), "damaged NIfTI header (dim[0] is 8, expected 1 to 7)"),
    "dim[0] is -3": ({}, packed(40, "<h", -3), "damaged NIfTI header (dim[0] is -3, expected 1 to 7)"),
    "float128": ({}, packed(70, "<hh", 1536, 128), "voxels are float128, expected one real number per voxel"),
    "line ends of a NIfTI-2 magic": (
        {"version": 2},
        packed(8, "4s", b"\n\x1a\n\n"),
        "damaged NIfTI header (the end of its magic was changed by a conversion of line ends)",
    ),
    "bzip2": ({}, bz2.compress, "not a NIfTI or MGH file (compressed with bzip2); unpack it and give the scan inside"),
    "a zip": ({}, lambda b: b"PK\3\4" + b, "not a NIfTI or MGH file (a zip archive); unpack it and give the scan"),
    "a tar": ({}, lambda b: b"scan.nii".ljust(257, b"\0") + b"ustar\0", "(a tar archive); unpack it and give the scan"),
    "a picture": ({}, lambda b: b"\x89PNG\r\n\x1a\n", "(a PNG picture); a picture has no voxel sizes; export the scan"),
    "HDF5": (
        {},
        lambda b: b"\x89HDF\r\n\x1a\n",
        "(HDF5, such as MINC 2 or a Keras model); convert the scan to .nii.gz",
    ),
    "text": ({}, lambda b: b"subject\tage\n", 'not a NIfTI or MGH file (it starts with "subject "); expected .nii'),
    "bytes": ({}, lambda b: bytes(range(200, 240)), "(it starts with bytes c8 c9 ca cb cc cd ce cf); expected .nii"),
    "nothing": ({}, lambda b: b"", "the file is empty; get it again"),
    "a web page after a byte order mark": (
        {},
        lambda b: b"\xef\xbb\xbf<!DOCTYPE html><html>",
        "is a web page (HTML), not a scan",
    ),
    "git-annex on Windows": ({}, lambda b: rb"..\.git\annex\objects\X\MD5E-s1--a.nii.gz", POINTER),
    "an infinite voxel": ({}, packed(352, "<2f", float("inf"), float("nan")), "2 of 47520 voxels are NaN or infinite"),
    "NaN alone": (
        {},
        lambda b: b[:352] + struct.pack("<f", float("nan")) * 47520,
        "every voxel has the value 0",
    ),
    "compressed twice": (
        {},
        lambda b: gzip.compress(gzip.compress(b)),
        "is compressed twice; unpack it once (gunzip) and try again",
    ),
    "git-annex": ({}, lambda b: b"/annex/objects/MD5E-s41--a3.nii.gz\n", POINTER),
    "git-annex by a link's text": ({}, lambda b: b"../.git/annex/objects/Xk/3v/MD5E-s1--a.nii.gz", POINTER),
    "Git LFS": ({}, lambda b: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 12\n", POINTER),
    "a web page": (
        {},
        lambda b: b"\n<!DOCTYPE html>\n<html></html>",
        "is a web page (HTML), not a scan; download the file itself",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse_in_the_same_words(name: str, site: Site, tmp_path: Path) -> None:
    options, change, sentence = REFUSED[name]
    path = write_nifti(tmp_path / "bad.nii", head(), OBLIQUE, **options)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ScanError) as refusal:
        read_scan(path)
    (result,) = site([{"files": [str(path)], "out": str(tmp_path / "out"), "grid": SMALL_GRID}])
    assert sentence in str(refusal.value)
    assert result.get("error", "").startswith("bad.nii: ")
    assert sentence in result["error"]


#: File names without extensions: of masks, of segmentations, of tissue maps, and of scans.
NAMES = """
a_mask a-mask mask amask sub-1_msk BraTS-GLI-1-seg sub_seg_2 x_dseg x_probseg x_segmentation x_label x_labels
x_roi roi heroic sub-1_lesion sub-1_lesions stroke-lesion lesion sub-1_label-GM_T1w scan_synthseg synthseg
aseg sub-1_aseg aparc+aseg lh.aparc rh.aparc.a2009s aparc.DKTatlas+aseg wmparc ribbon lh.ribbon filled
filled.auto unfilled c1scan mwp1scan wc2sub-1_T1w rp1x c7scan c1 c12 rc1T1 mc3x sub-01_T1w T1 ct_head
mask_of_zorro
"""


def test_both_take_the_same_names_for_labels(site: Site) -> None:
    results: list[Any] = list(site([{"names": NAMES.split()}]))
    (result,) = results
    assert result == [[names_labels(name), maps_tissue_of(name)] for name in NAMES.split()]
    assert sum(labels for labels, _ in result) > 20


#: Names of other contrasts, and names that seem to say one.
OTHER_CONTRASTS = """
s_ADC.nii s_dwi.nii s_part-phase_T2w.nii s_part-mag_T2w.nii s_part-real_bold.nii s_phasediff.nii s_magnitude2.nii
s_swi.nii s_T2star.nii s_cbf.nii s_CBV_map.nii 5_ep2d_diff_TRACEW.nii 5_ADCmap3.nii 4_T2_e2_ph.nii x_imaginary.nii
x_t1ce.nii x-t2f.nii t2_tirm_tra.nii 3DFLAIR.nii x_T2w_space-T1w.nii T2w_to_T1w.nii dti_FA.nii MD_smith.nii
scan_b1000.nii minIP.nii UNIT1.nii tof_3d.nii phase1.nii T2w2.nii a_b_c.nii
"""


#: Those whose names say T2w, or nothing.
SUITABLE = {"s_part-mag_T2w.nii", "x_T2w_space-T1w.nii", "T2w_to_T1w.nii", "MD_smith.nii", "T2w2.nii", "a_b_c.nii"}


@pytest.mark.parametrize("modality", [("T2w",), ("T1w", "FLAIR"), ()])
def test_both_read_the_same_contrast_from_name_and_header(
    modality: tuple[str, ...], site: Site, tmp_path: Path
) -> None:
    names = (
        "sub-01_T1w.nii",
        "sub-01_t2w.nii",
        "x_MPRAGE_2.nii",
        "t1.nii",
        "unt2led.nii",
        "a_T2starw_bold.nii",
        "CT.nii",
        *OTHER_CONTRASTS.split(),
    )
    path = write_nifti(tmp_path / "scan.nii", head(), OBLIQUE)
    spec = small_model("m")[0].model_copy(update={"modality": modality})
    jobs, said = [], []
    for header in ("", "TE=20;FLAIR"):
        path.write_bytes(packed(148, "80s", header.encode())(path.read_bytes()))
        scan = read_scan(path)
        for name in names:
            said.append(contrast_notes(spec, replace(scan, where=name)))
            jobs.append({"contrast": [name, header, list(modality)]})
    results: list[Any] = list(site(jobs))
    for job, notes, result in zip(jobs, said, results, strict=True):
        assert result == [{"code": note.code, "text": note.text} for note in notes], job
    if modality == ("T2w",):
        unlike = [name for name, notes in zip(names, said[: len(names)], strict=True) if notes]
        assert set(OTHER_CONTRASTS.split()) - set(unlike) == SUITABLE


@pytest.mark.parametrize("task", ["stroke lesion", "Lesion", "tissue"])
def test_both_find_the_same_results_implausible(task: str, site: Site) -> None:
    spec = small_model("m", classes=2)[0].model_copy(update={"task": task})
    for ml, head_ml in ((0.0, 1500.0), (0.5, 1500.0), (499.0, 1500.0), (501.5, 1500.0), (1600.0, 1500.0), (3.0, 0.0)):
        assert_same_result_notes(site, spec, (5e3, ml), head_ml)


def test_both_find_the_same_results_with_tissue_labels_implausible(site: Site) -> None:
    for grey, lesion, outside_ml in ((900.0, 0.0, 0.0), (900.0, 40.0, 0.0), (900.0, 0.0, 27.5), (700.0, 501.5, 0.004)):
        assert_same_result_notes(site, joint_spec(), (5e3, 100.0, grey, 300.0, lesion), 1500.0, outside_ml)


def assert_same_result_notes(
    site: Site, spec: ModelSpec, volumes_ml: tuple[float, ...], head_ml: float, outside_ml: float = 0.0
) -> None:
    volumes = [(x, round(ml * 1000), ml) for x, ml in zip(spec.labels, volumes_ml, strict=True)]
    notes = [{"code": note.code, "text": note.text} for note in result_notes(spec, volumes, head_ml, outside_ml)]
    given = [{"index": x.index, "voxels": voxels, "volumeMl": ml} for x, voxels, ml in volumes]
    results: list[Any] = list(site([{"result": [json.loads(dump_spec(spec)), given, head_ml, outside_ml]}]))
    assert results == [notes], (volumes_ml, head_ml, outside_ml)


def test_both_read_a_pair_whose_header_has_the_magic_of_a_single_file(site: Site, tmp_path: Path) -> None:
    whole = write_nifti(tmp_path / "a.tmp", head(), OBLIQUE).read_bytes()
    header, image = tmp_path / "a.hdr", tmp_path / "a.img"
    header.write_bytes(whole[:348])
    for content, codes in (
        (whole, ["magic-of-a-single-file"]),
        (whole[352:], ["magic-of-a-single-file", "offset-repaired"]),
    ):
        image.write_bytes(content)
        scan = read_scan(header)
        (result,) = site([{"files": [str(header), str(image)], "out": str(tmp_path / "out"), "grid": GRID}])
        assert [note["code"] for note in result["notes"]] == [note.code for note in scan.notes] == codes
        assert np.array_equal(scan.data, head())


def test_both_read_a_single_file_called_img_with_the_magic_of_a_pair(site: Site, tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "a.img", head(), OBLIQUE)
    path.write_bytes(packed(344, "4s", b"ni1\0")(path.read_bytes()))
    assert [note.code for note in read_scan(path).notes] == ["magic-of-a-pair"]
    (result,) = site([{"files": [str(path)], "out": str(tmp_path / "out"), "grid": GRID}])
    assert [note["code"] for note in result["notes"]] == ["magic-of-a-pair"]


@pytest.mark.parametrize(
    ("modality", "fluid", "noted"),
    [
        (("T2w",), 1100, False),
        (("T2w",), 300, True),
        (("T1w",), 1100, True),
        (("T1w", "FLAIR"), 300, False),
        (("T1w", "T2w"), 300, False),
        (("T2w", "bold"), 300, False),
        ((), 1100, False),
    ],
)
def test_both_see_whether_fluid_is_bright(
    modality: tuple[str, ...], fluid: float, noted: bool, site: Site, tmp_path: Path
) -> None:
    data = head()
    at = np.indices(data.shape, dtype=np.float64)
    place = [(x - (n - 1) / 2) * mm for x, n, mm in zip(at, data.shape, (6, 5, 7), strict=True)]
    data[np.sqrt(sum(x**2 for x in place)) < 22] = fluid
    path = write_nifti(tmp_path / "scan.nii", data, OBLIQUE)
    job = {"files": [str(path)], "out": str(tmp_path / "out"), "grid": GRID, "modality": list(modality)}
    (result,) = site([job])
    conformed = conform(read_scan(path), size=GRID["size"], voxel_size_mm=GRID["voxelSizeMm"])
    spec = small_model("m")[0]
    grid = spec.input.model_copy(update={"size": (64, 64, 64), "voxel_size_mm": 4.0})
    notes = fluid_notes(spec.model_copy(update={"modality": modality, "input": grid}), conformed)
    assert result["fluidNotes"] == [{"code": note.code, "text": note.text} for note in notes]
    assert [note.code for note in notes] == (["contrast-looks-unlike"] if noted else [])


#: Output of dcm2niix: of two series in turn, of one whose slices have several dates, of one that is cut, of a syntax.
PRINTED = """
Found 80 DICOM file(s)
Warning: Patient Position (0018,5100) not specified (issue 642).
Warning: Interslice distance varies in this volume (incompatible with NIfTI format).
Convert 37 DICOM as /out/3_T2_20200101120000_1.2.826.0.1.1_1.2.826.0.1.1.3 (41x52x37x1)
Slices not stacked: Study Date/Time (0008,0020;0008,0030) varies 20210101120000.000 ~= 20200101120000.000
Warning: Instance Number (0020,0013) order is not spatial.
Convert 40 DICOM as /out/4_T2_20210101120000_1.2.826.0.1.1_1.2.826.0.1.1.4 (41x52x40x1)
Convert 40 DICOM as /out/4_T2_20200101120000_1.2.826.0.1.1_1.2.826.0.1.1.4 (41x52x40x1)
FileSize < (ImageSize+HeaderSize): 4282 < (4264+1018)
Warning: File not large enough to store image data: /in/40.dcm
Convert 12 DICOM as /out/5_T1_20200101120000_1.2.826.0.1.1_1.2.826.0.1.1.5 (41x52x12x1)
{}
Error: Converted 40 of 80 files
"""


@pytest.mark.parametrize("last", ["", "Warning: Unsupported transfer syntax '1.2.3' (see www.nitrc.org)", "Error: no"])
def test_both_read_what_dcm2niix_prints_in_the_same_way(last: str, site: Site) -> None:
    names = {"/in/40.dcm": "IM0007"}
    output = PRINTED.format(last)

    def name_of(path: str) -> str:
        return names.get(path, path)

    warnings = warnings_of(output, name_of)
    results: list[Any] = list(site([{"dcm2niix": [output, names]}]))
    assert results == [[warnings, last_fault(output, name_of), unsupported_syntax(output, name_of)]]
    third, fourth, other, fifth = warnings.values()
    assert "Interslice distance varies in this volume (incompatible with NIfTI format)" in third
    apart = "Slices not stacked: Study Date/Time (0008,0020;0008,0030) varies"
    assert [apart in texts for texts in (third, fourth, other, fifth)] == [False, True, True, False]
    assert fifth == ["File not large enough to store image data: IM0007"]
    assert (incomplete_reason(0, output, name_of) is None) == ("syntax" not in last)
    assert failure_reason(8, output, name_of).startswith("some of them are damaged: ")
