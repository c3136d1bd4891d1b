"""The page's own readers of NRRD and MetaImage give SimpleITK's voxels in SimpleITK's place."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from meshnet.scan.nifti import Scan, read_scan
from tests.helpers.itk_files import ORTHOGONAL, write_itk, write_itk_volume
from tests.helpers.parity.prepared import SMALL_GRID, Site
from tests.helpers.scan_files import GEOMETRIES, blob

#: Codes of notes on reading; the site's list has those on conforming too.
READING = ("no-space", "label-like", "few-values", "nan-read-as-zero", "fill-values")

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"]


def job(path: Path, out: Path, frame: int | None = None) -> dict[str, Any]:
    """Reads a header with the data file that SimpleITK wrote beside it, where there is one."""
    beside = [other for other in path.parent.iterdir() if other.stem.split(".")[0] == path.stem and other != path]
    return {"files": [str(path), *map(str, beside)], "out": str(out), "grid": SMALL_GRID, "frame": frame}


def assert_same(scan: Scan, result: dict[str, Any], out: Path) -> None:
    assert "error" not in result, result
    voxels = np.fromfile(out / "native.f64", np.float64).reshape(scan.data.shape, order="F")
    np.testing.assert_array_equal(voxels, scan.data.astype(np.float64))
    np.testing.assert_allclose(np.reshape(result["affine"], (4, 4)), scan.affine_vox2ras, rtol=0, atol=1e-9)
    expected = [{"code": note.code, "text": note.text} for note in scan.notes]
    assert [note for note in result["notes"] if note["code"] in READING] == expected


@pytest.mark.parametrize("ending", [".nrrd", ".nhdr", ".mha", ".mhd"])
def test_hard_geometries_and_types_are_read_alike(ending: str, site: Site, tmp_path: Path) -> None:
    """Every geometry and type, raw and compressed, in one file or two."""
    cases: list[tuple[Path, Path]] = []
    for n, name in enumerate(ORTHOGONAL):
        for compressed in (False, True):
            folder = tmp_path / f"{n}{compressed}"
            folder.mkdir()
            dtype = np.dtype(DTYPES[(2 * n + compressed) % len(DTYPES)]).type
            write_itk(folder / f"a{ending}", name, dtype, compressed=compressed)
            cases.append((folder / f"a{ending}", folder / "out"))
    for (path, out), result in zip(cases, site([job(*case) for case in cases]), strict=True):
        assert_same(read_scan(path), result, out)


def header(fields: dict[str, str]) -> bytes:
    return ("NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in fields.items()) + "\n").encode()


PLAIN = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "7 6 5",
    "space directions": "(1.5,0.2,0) (-0.2,1.5,0) (0,0,-2.5)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(-4,7,11.5)",
}


def voxels(dtype: str = "<i2") -> NDArray[Any]:
    return (np.arange(210).reshape(7, 6, 5) * 37 % 211 - 60).astype(dtype)


def variants() -> dict[str, bytes]:
    """NRRD files as other programs than SimpleITK write them."""
    raw = voxels().tobytes(order="F")
    spaces = [
        "right-anterior-superior", "RAS", "left-anterior-superior", "LAS", "LPS", "scanner-xyz", "3D-right-handed",
    ]  # fmt: skip
    found = {f"space {space}": header(PLAIN | {"space": space}) + raw for space in spaces}
    without = {key: value for key, value in PLAIN.items() if not key.startswith("space")}
    found["spacings alone"] = header(without | {"spacings": "1.5 2 3.25"}) + raw
    found["neither directions nor spacings"] = header(without) + raw
    found["no kinds"] = header({key: value for key, value in PLAIN.items() if key != "kinds"}) + raw
    found["big-endian"] = header(PLAIN | {"endian": "big"}) + voxels(">i2").tobytes(order="F")
    found["gzip"] = header(PLAIN | {"encoding": "gzip"}) + gzip.compress(raw)
    found["gz"] = header(PLAIN | {"encoding": "gz"}) + gzip.compress(raw)
    text = " ".join(map(str, voxels().ravel(order="F"))).encode()
    found["ascii"] = header(PLAIN | {"encoding": "ascii"}) + text
    found["comments, keys and CRLF"] = (header(PLAIN) + b"").replace(
        b"type:", b"# made by hand\nmodality:=T2w\ntype:"
    ).replace(b"\n", b"\r\n") + raw
    return found


def assert_read_alike(contents: dict[str, bytes], file: str, site: Site, folder: Path) -> None:
    """Both sides read each content, stored under the name `file`, as the same scan."""
    cases = []
    for n, (name, content) in enumerate(contents.items()):
        path = folder / f"{n}" / file
        path.parent.mkdir()
        path.write_bytes(content)
        cases.append((name, path, folder / f"{n}" / "out"))
    for (name, path, out), result in zip(cases, site([job(path, out) for _, path, out in cases]), strict=True):
        print(name)
        assert_same(read_scan(path), result, out)


def test_nrrd_files_of_other_programs_are_read_alike(site: Site, tmp_path: Path) -> None:
    assert_read_alike(variants(), "a.nrrd", site, tmp_path)


def meta_variants() -> dict[str, bytes]:
    """MetaImage files as other programs write them."""
    raw = voxels().tobytes(order="F")
    lines = [
        "ObjectType = Image",
        "NDims = 3",
        "BinaryData = True",
        "BinaryDataByteOrderMSB = False",
        "TransformMatrix = 0.8 0.6 0 0.6 -0.8 0 0 0 1",
        "Offset = -4 7 11.5",
        "ElementSpacing = 1.5 0.9 2.5",
        "DimSize = 7 6 5",
        "ElementType = MET_SHORT",
        "ElementDataFile = LOCAL",
    ]

    def text(**changes: str | None) -> bytes:
        changed = dict(line.split(" = ") for line in lines)
        for key, value in changes.items():
            if value is None:
                del changed[key]
            else:
                changed[key] = value
        last = changed.pop("ElementDataFile")
        return "".join(f"{k} = {v}\n" for k, v in {**changed, "ElementDataFile": last}.items()).encode()

    return {
        "plain": text() + raw,
        "no ObjectType, NDims first": text(ObjectType=None) + raw,
        "no matrix": text(TransformMatrix=None) + raw,
        "Position for Offset": text(Offset=None, Position="1 2 3") + raw,
        "Orientation for TransformMatrix": text(TransformMatrix=None, Orientation="0 1 0 1 0 0 0 0 -1") + raw,
        "big-endian": text(BinaryDataByteOrderMSB="True") + voxels(">i2").tobytes(order="F"),
        "big-endian by the other field": text(BinaryDataByteOrderMSB=None, ElementByteOrderMSB="True")
        + voxels(">i2").tobytes(order="F"),
        "ElementSize for ElementSpacing": text(ElementSpacing=None, ElementSize="1.5 0.9 2.5") + raw,
        "bytes before the voxels": text(HeaderSize="-1") + b"12345678" + raw,
        "text": text(BinaryData="False") + " ".join(map(str, voxels().ravel(order="F"))).encode() + b" \n",
        "an anatomical orientation that ITK does not use": text(AnatomicalOrientation="RAI") + raw,
    }


def test_meta_images_of_other_programs_are_read_alike(site: Site, tmp_path: Path) -> None:
    assert_read_alike(meta_variants(), "a.mha", site, tmp_path)


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_a_frame_of_four_dimensions_is_read_alike(ending: str, site: Site, tmp_path: Path) -> None:
    affine, shape = GEOMETRIES["oblique"]
    single = write_itk_volume(tmp_path / f"single{ending}", blob(shape).astype(np.int16), affine)
    frames = [single, single * 2 + 5]
    sitk.WriteImage(sitk.JoinSeries(frames), str(tmp_path / f"a{ending}"))
    out = tmp_path / "out"
    refused, result = site([job(tmp_path / f"a{ending}", out), job(tmp_path / f"a{ending}", out, frame=1)])
    assert refused["frames"] == 2
    assert "expected a 3-D volume, got shape" in refused["error"]
    assert_same(read_scan(tmp_path / f"a{ending}", frame=1), result, out)


def test_files_that_cannot_be_read_are_refused_in_words(site: Site, tmp_path: Path) -> None:
    raw = voxels().tobytes(order="F")
    meta = meta_variants()["plain"]
    cases = {
        "colours.nrrd": (
            header(PLAIN | {"dimension": "4", "sizes": "3 7 6 5", "kinds": "RGB-color domain domain domain",
                            "space directions": "none (1,0,0) (0,1,0) (0,0,1)", "type": "uchar"}) + raw * 2,
            "expected one value per voxel, got 3; choose the grey-scale image of this scan",
        ),
        "flat.nrrd": (header(PLAIN | {"dimension": "2", "sizes": "7 6", "kinds": "domain domain"}) + raw,
                      "got 2 dimensions"),
        "bzip2.nrrd": (header(PLAIN | {"encoding": "bzip2"}) + raw, "encoding is “bzip2”, expected raw, gzip or ascii"),
        "cut.nrrd": (header(PLAIN) + raw[:-5], "5 bytes of voxels are missing"),
        "cut-head.nrrd": (header(PLAIN)[:60], "its NRRD header does not end"),
        "block.nrrd": (header(PLAIN | {"type": "block"}) + raw, "its voxels are of type “block”"),
        "alone.nhdr": (header(PLAIN | {"data file": "alone.raw"}), "its voxels are in another file, alone.raw;"),
        "list.nhdr": (header(PLAIN | {"data file": "LIST"}), "its voxels are in a list of files"),
        "alone.mhd": (meta.split(b"LOCAL")[0] + b"alone.zraw\n", "are in another file, alone.zraw; give both"),
        "cut.mha": (meta[:-5], "5 bytes of voxels are missing"),
        "damaged.mha": (
            meta.split(b"DimSize")[0] + b"CompressedData = True\nDimSize" + meta.split(b"DimSize")[1],
            "the compressed voxels are damaged or end early",
        ),
        "vector.mha": (
            meta.replace(b"DimSize", b"ElementNumberOfChannels = 2\nDimSize") + raw,
            "expected one value per voxel, got 2",
        ),
        "sizes.mha": (meta.replace(b"DimSize = 7 6 5", b"DimSize = 7 x 5"), "expected numbers"),
    }  # fmt: skip
    for name, (content, _) in cases.items():
        (tmp_path / name).write_bytes(content)
    jobs = [{"files": [str(tmp_path / name)], "out": str(tmp_path / "out"), "grid": SMALL_GRID} for name in cases]
    for (name, (_, sentence)), result in zip(cases.items(), site(jobs), strict=True):
        assert re.match(re.escape(name) + ": ", result["error"]), result
        assert sentence in result["error"], name
