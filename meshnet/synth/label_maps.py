"""Heads from a folder of whole-head label maps: checked, split into classes, placed in MNI space, cached.

A label map is a NIfTI volume of whole numbers at 1 mm (SynthSeg's 20 training maps, say). Each file that the table
names (`meshnet/conf/synth-heads.json`: SHA-256 and split by person) must have that SHA-256. A file that it doesn't name
is somebody's own head: it is accepted, and belongs to the training split. A label that `meshnet.synth.label_table`
doesn't know is an error.

`pack_heads` writes heads as the cache holds them, as `NAME.head.npz`. A folder of these files is read in place of the
label maps.
"""

from __future__ import annotations

import bz2
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal, cast, get_args

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from meshnet.synth.label_table import BRAIN_TISSUE, CLASSES, INDEX, VENTRICLES
from meshnet.synth.landmarks import fit_mni_to_voxel

Split = Literal["train", "choose", "test"]

#: Counts changes of this module's method; a cached head of another version is never read.
_METHOD_VERSION = 2
#: End of the name of a packed head.
_PACKED = ".head.npz"
_MARGIN_VOXELS = 2
_GYRI_CLOSING_MM = 6.0
_DURA_MM = 1.6
_SKIN_MM, _SUPERFICIAL_MM = 2.0, 9.0


class LabelMapError(ValueError):
    """A label map that can't be used; the message names the file, what was found and what to do."""


@dataclass(frozen=True)
class HeadLabels:
    """One head, cropped. classes: uint8 [i, j, k], LIA, 1 mm, positions in `CLASSES`.

    affine_mni2vox: float64 [3, 4], MNI mm (RAS) to voxels of `classes`. split: by person. sha256: of the source file.
    """

    name: str
    sha256: str
    split: Split
    classes: NDArray[np.uint8]
    affine_mni2vox: NDArray[np.float64]


@dataclass(frozen=True)
class ListedFile:
    """A row of the table: what a file of this name must be, and which split its person is in."""

    sha256: str
    split: Split


def read_table(path: Path | None = None) -> dict[str, ListedFile]:
    """File name -> SHA-256 and split; `path` None reads the project's own `synth-heads.json`."""
    source = path if path is not None else resources.files("meshnet.conf") / "synth-heads.json"
    content = json.loads(source.read_text(encoding="utf-8"))
    return {name: ListedFile(row["sha256"], _split(row["split"], name)) for name, row in content["label_maps"].items()}


def _split(name: str, file: str) -> Split:
    if name not in get_args(Split):
        raise LabelMapError(f"table of label maps: {file}: expected split train, choose or test, got {name!r}")
    return cast(Split, name)


def load_heads(
    folder: Path, cache: Path, splits: Sequence[Split] = ("train",), table: Mapping[str, ListedFile] | None = None
) -> list[HeadLabels]:
    """Heads of `folder` (*.nii, *.nii.gz, *.head.npz) in `splits`, by file name.

    The first call takes some ten seconds a head; the result is kept in `cache` under the file's SHA-256. Raises
    FileNotFoundError for a folder without label maps, LabelMapError for a file that can't be used.
    """
    listed = read_table() if table is None else table
    paths = _head_files(folder)
    heads = []
    for path in paths:
        row = listed.get(_label_map_name(path))
        split: Split = row.split if row is not None else "train"
        if split not in splits:
            continue
        sha256 = _source_sha256(path)
        if row is not None and sha256 != row.sha256:
            raise LabelMapError(
                f"{path}: SHA-256 is {sha256}, expected {row.sha256}; fetch the file again, or rename it to use it as "
                f"a head of your own"
            )
        stored = path if path.name.endswith(_PACKED) else _cached_head(path, sha256, cache)
        heads.append(_read_head(stored, _label_map_name(path).split(".nii")[0], sha256, split))
    if not heads:
        raise FileNotFoundError(f"{folder}: {len(paths)} label maps, none in split {', '.join(splits)}")
    return heads


def has_split(folder: Path, split: Split) -> bool:
    """Whether the folder holds a head that the project's table lists in this split."""
    listed = {name for name, row in read_table().items() if row.split == split}
    return any(_label_map_name(path) in listed for path in _head_files(folder))


def pack_heads(folder: Path, cache: Path, out: Path, splits: Sequence[Split] = ("train", "choose")) -> None:
    """Write the heads of `folder` in `splits` to the folder `out`. Raises the errors of `load_heads`."""
    out.mkdir(parents=True, exist_ok=True)
    for head in load_heads(folder, cache, splits):
        _write_head(out / f"{head.name}{_PACKED}", head.classes, head.affine_mni2vox, head.sha256)


def _head_files(folder: Path) -> list[Path]:
    paths = sorted(p for p in folder.glob("*.n*") if p.name.endswith((".nii", ".nii.gz", _PACKED)))
    if not paths:
        raise FileNotFoundError(
            f"{folder}: no label maps (*.nii, *.nii.gz) here; point data.anatomies at a folder of them"
        )
    return paths


def _label_map_name(path: Path) -> str:
    """The name of the label map that a file is, or that a packed head was made from."""
    return path.name.removesuffix(_PACKED) + ".nii.gz" if path.name.endswith(_PACKED) else path.name


def _source_sha256(path: Path) -> str:
    """Of the label map; a packed head holds it."""
    if not path.name.endswith(_PACKED):
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with np.load(path) as arrays:
        if int(arrays["method_version"]) != _METHOD_VERSION:
            raise LabelMapError(
                f"{path}: packed by method {int(arrays['method_version'])} of this software, expected "
                f"{_METHOD_VERSION}; pack the label maps again"
            )
        return str(arrays["sha256"])


def _cached_head(path: Path, sha256: str, cache: Path) -> Path:
    """The file of the cache that holds the head of a label map; written if missing."""
    stored = cache / f"head-{_METHOD_VERSION}-{sha256[:16]}.npz"
    if not stored.is_file():
        classes, affine = head_classes(read_label_map(path), source=str(path))
        cache.mkdir(parents=True, exist_ok=True)
        _write_head(stored, classes, affine, sha256)
    return stored


def _write_head(path: Path, classes: NDArray[np.uint8], affine: NDArray[np.float64], sha256: str) -> None:
    partial = path.with_suffix(".partial.npz")
    about = {"sha256": sha256, "method_version": _METHOD_VERSION, "shape": classes.shape, "affine_mni2vox": affine}
    np.savez(partial, classes_bz2=np.frombuffer(bz2.compress(classes.tobytes()), np.uint8), **about)
    partial.replace(path)


def _read_head(stored: Path, name: str, sha256: str, split: Split) -> HeadLabels:
    with np.load(stored) as arrays:
        if "classes" in arrays:  # written by an earlier version
            classes = arrays["classes"]
        else:
            flat = np.frombuffer(bytearray(bz2.decompress(arrays["classes_bz2"].tobytes())), np.uint8)
            classes = flat.reshape(arrays["shape"])
        return HeadLabels(name, sha256, split, classes, arrays["affine_mni2vox"])


def read_label_map(path: Path) -> NDArray[np.int32]:
    """int32 [i, j, k] in LIA order. Raises LabelMapError unless 3-D, whole numbers and 1 mm."""
    try:
        image = cast(nib.Nifti1Image, nib.load(path))
        values = np.asarray(image.dataobj)
    except (nib.filebasedimages.ImageFileError, OSError, EOFError) as error:
        raise LabelMapError(f"{path}: can't be read as NIfTI: {error}") from error
    if values.ndim != 3:
        raise LabelMapError(f"{path}: expected a 3-D label map, got shape {values.shape}")
    voxel_size_mm = np.linalg.norm(image.affine[:3, :3], axis=0)
    if np.abs(voxel_size_mm - 1).max() > 0.02:
        raise LabelMapError(
            f"{path}: expected voxels of 1 mm, got {tuple(float(v) for v in voxel_size_mm.round(3))} mm; resample it "
            f"with nearest neighbour first"
        )
    labels = np.rint(values).astype(np.int32)
    if not np.array_equal(labels, values):
        wrong = values[labels != values]
        raise LabelMapError(f"{path}: expected whole numbers, got {wrong[0]} ({wrong.size} voxels aren't whole)")
    from_order = nib.orientations.io_orientation(image.affine)
    to_order = nib.orientations.axcodes2ornt(("L", "I", "A"))
    return np.asarray(nib.orientations.apply_orientation(labels, nib.orientations.ornt_transform(from_order, to_order)))


def head_classes(labels: NDArray[np.int32], source: str) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cropped classes uint8 [i, j, k] and affine MNI mm -> voxel [3, 4] of a label map (1 mm, LIA).

    Raises LabelMapError for unknown labels (each with its count) and for a head that can't be placed.
    """
    classes = _listed_classes(labels, source)
    head = _head_mask(classes > 0)
    where = np.argwhere(head)
    low = np.maximum(where.min(axis=0) - _MARGIN_VOXELS, 0)
    box = tuple(slice(a, b) for a, b in zip(low, where.max(axis=0) + 1 + _MARGIN_VOXELS, strict=True))
    classes, head = np.where(head, classes, 0)[box].astype(np.uint8), head[box]
    try:
        affine = fit_mni_to_voxel(labels[box])
    except ValueError as error:
        raise LabelMapError(f"{source}: {error}") from error
    classes[head & (classes == 0)] = INDEX["airway or sinus"]
    _split_fluid(classes)
    _split_rims(classes)
    _split_soft_tissue(classes, head)
    return classes, affine


def _listed_classes(labels: NDArray[np.int32], source: str) -> NDArray[np.uint8]:
    """Every label's class. Raises LabelMapError for a label that has none."""
    known = {c.source: i for i, c in enumerate(CLASSES) if c.source >= 0}
    present, count = np.unique(labels, return_counts=True)
    unknown = [f"{v} ({n} voxels)" for v, n in zip(present, count, strict=True) if int(v) not in known]
    if unknown:
        raise LabelMapError(
            f"{source}: unknown labels {', '.join(unknown)}; meshnet.synth.label_table knows {sorted(known)}"
        )
    table = np.zeros(max(known) + 1, np.uint8)
    table[list(known)] = list(known.values())
    return table[labels]


def _head_mask(labelled: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The head with its airways and sinuses: largest piece of what is labelled, closed by 6 mm, holes filled."""
    pieces, count = ndimage.label(labelled)
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:]) if count > 1 else labelled
    box = ndimage.find_objects(largest.astype(np.uint8))[0]
    inside = np.pad(largest[box], 7)
    grown = ndimage.distance_transform_edt(~inside) <= 6.0
    closed = (ndimage.distance_transform_edt(grown) > 6.0) | inside
    for plane in range(closed.shape[1]):  # axial: the airway is open below, where the field of view ends
        closed[:, plane] = ndimage.binary_fill_holes(closed[:, plane])
    whole = np.zeros(labelled.shape, bool)
    whole[box] = closed[7:-7, 7:-7, 7:-7]
    return whole


def _split_fluid(classes: NDArray[np.uint8]) -> None:
    """Label 24 in three, in place: fluid between gyri (within a closing of the brain), dura (next to what is neither
    brain nor fluid), and the rest around the brain."""
    around = INDEX["fluid around the brain"]
    tissue = (BRAIN_TISSUE | VENTRICLES)[classes]
    if not tissue.any():
        return
    fluid = classes == around
    radius = int(np.ceil(_GYRI_CLOSING_MM)) + 1
    padded = np.pad(tissue, radius)
    grown = ndimage.distance_transform_edt(~padded) <= _GYRI_CLOSING_MM
    closed = (ndimage.distance_transform_edt(grown) > _GYRI_CLOSING_MM)[radius:-radius, radius:-radius, radius:-radius]
    outside = ~(fluid | tissue | (classes == INDEX["spinal cord"]) | (classes == INDEX["optic nerve"]))
    near_bone = ndimage.distance_transform_edt(~outside) <= _DURA_MM
    near_brain = ndimage.binary_dilation(tissue)
    classes[fluid & closed] = INDEX["fluid between gyri"]
    classes[fluid & ~closed & near_bone & ~near_brain] = INDEX["dura"]


def _split_rims(classes: NDArray[np.uint8]) -> None:
    """Voxels of cortex that touch fluid (6 neighbours) become its rim, in place."""
    fluid = np.isin(classes, [INDEX["fluid between gyri"], INDEX["fluid around the brain"]])
    touching = ndimage.binary_dilation(fluid)
    for side in ("left", "right"):
        for cortex in ("cortex", "cerebellar cortex"):
            classes[touching & (classes == INDEX[f"{side} {cortex}"])] = INDEX[f"{side} {cortex} rim"]


def _split_soft_tissue(classes: NDArray[np.uint8], head: NDArray[np.bool_]) -> None:
    """Soft tissue (507) and scalp (511) by depth below the skin, in place.

    Everything below the head (j runs downwards) counts as head, so that the cut through the neck isn't skin.
    """
    depth_mm = ndimage.distance_transform_edt(np.maximum.accumulate(head, axis=1))
    soft = classes == INDEX["deep soft tissue"]
    classes[soft & (depth_mm <= _SUPERFICIAL_MM)] = INDEX["superficial soft tissue"]
    classes[(soft | (classes == INDEX["scalp"])) & (depth_mm <= _SKIN_MM)] = INDEX["skin"]
