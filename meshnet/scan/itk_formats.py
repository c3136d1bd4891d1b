"""NRRD (.nrrd, .nhdr) and MetaImage (.mha, .mhd), read by SimpleITK, which the extra `formats` installs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshnet.scan.notes import Note, make_note
from meshnet.scan.scan_stream import ScanError

ITK_SUFFIXES = (".nrrd", ".nhdr", ".mha", ".mhd")

#: ITK's world axes are left, posterior, superior; ours are right, anterior, superior.
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])

_META_IMAGE = re.compile(rb"\s*(?:Comment\s*=[^\n]*\n)?\s*(?:ObjectType\s*=\s*Image|NDims\s*=\s*\d)")


def is_itk_format(head: bytes) -> bool:
    """Whether a file that begins with these bytes (300 or more are enough) is NRRD or MetaImage."""
    return head.startswith(b"NRRD000") or _META_IMAGE.match(head) is not None


def read_itk(path: Path) -> tuple[NDArray[Any], NDArray[np.float64], list[Note]]:
    """Voxels [i, j, k] or [i, j, k, frame], the affine [4, 4] (voxel to RAS, mm), and notes.

    Raises ScanError if SimpleITK is missing or can't read the file, or if a voxel has several values.
    """
    try:
        import SimpleITK as sitk  # noqa: N813 (its usual name)
    except ModuleNotFoundError as error:
        raise ScanError(
            f"{path}: NRRD and MetaImage need SimpleITK, which is not installed; pip install 'meshnet[formats]'"
        ) from error
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        image = sitk.ReadImage(str(path), imageIO="NrrdImageIO" if _is_nrrd(path) else "MetaImageIO")
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip().removeprefix("sitk::ERROR: ")
        raise ScanError(f"{path}: SimpleITK can't read it ({reason}); get the file again") from error
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise ScanError(
            f"{path}: expected one value per voxel, got {image.GetNumberOfComponentsPerPixel()}; "
            f"choose the grey-scale image of this scan"
        )
    if image.GetDimension() not in (3, 4):
        raise ScanError(f"{path}: expected a 3-D volume, got {image.GetDimension()} dimensions")
    affine_lps = np.eye(4)
    direction = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:3, :3]
    affine_lps[:3, :3] = direction * np.array(image.GetSpacing()[:3])
    affine_lps[:3, 3] = image.GetOrigin()[:3]
    voxels: NDArray[Any] = sitk.GetArrayFromImage(image).T  # SimpleITK's arrays are [frame, k, j, i]
    return voxels, _LPS_TO_RAS @ affine_lps, [] if _says_space(path) else [make_note("no-space")]


def _is_nrrd(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"NRRD"


def _says_space(path: Path) -> bool:
    """Whether the header has a direction of the axes in a named space; ITK assumes LPS otherwise."""
    with path.open("rb") as file:
        head = file.read(1 << 16)
    if head.startswith(b"NRRD"):
        header = re.split(rb"\r?\n\r?\n", head)[0]
        return re.search(rb"^space:", header, re.MULTILINE) is not None
    return re.search(rb"^(?:TransformMatrix|Rotation|Orientation)\s*=", head, re.MULTILINE) is not None
