"""NIfTI headers: recognise, check and repair them, and make the affine in mm.

Each repair gives a note (notes.py). docs/inputs.md lists what is repaired and what is refused.
"""

from __future__ import annotations

import logging

import nibabel as nib
import numpy as np
from nibabel.quaternions import quat2mat
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from meshnet.scan.notes import Note, general, make_note
from meshnet.scan.scan_stream import ScanError

SMALLEST_VOXEL_MM3 = 1e-9

#: Rounding may make the vector part of a unit quaternion too long: 1 - b^2 - c^2 - d^2 down to this counts as 0.
QUATERNION_ROUNDING = -1e-5

#: Unit code (the low three bits of xyzt_units) -> note and millimetres per unit. Other codes mean mm.
_UNITS = {1: ("units-metre", 1000.0), 3: ("units-micron", 0.001)}

_GZIP_MAGIC = b"\x1f\x8b"
_quiet = logging.getLogger("meshnet.scan.nifti.header")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


def parse_header(head: bytes, where: str) -> tuple[nib.Nifti1Header, list[Note]]:
    """The header (NIfTI-1 or -2) in the first 540 bytes of a file, and the notes of its repairs.

    Raises ScanError if it is none, is damaged, or gives no voxel size.
    """
    size_le, size_be = (int.from_bytes(head[:4], order) for order in ("little", "big"))
    endianness = "<" if size_le in (348, 540) else ">"
    size = size_le if endianness == "<" else size_be
    if size == 348 and head[344:348] in (b"n+1\0", b"ni1\0"):
        kind: type[nib.Nifti1Header] = nib.Nifti1Header
    elif size == 540 and head[4:8] in (b"n+2\0", b"ni2\0"):
        kind = nib.Nifti2Header
    elif size == 348:
        raise ScanError(
            f"{where}: an Analyze 7.5 header without NIfTI magic, which says nothing about left and right; "
            f"convert the original images with dcm2niix"
        )
    else:
        raise ScanError(f"{where}: {_what_it_is(head)}")
    if len(head) < size:
        raise ScanError(f"{where}: the header ends after {len(head)} of {size} bytes; get the file again")
    try:
        header = kind(head[:size], endianness, check=False)
        _check_voxel_size(header, where)  # before nibabel replaces sizes of 0 by 1
        header.check_fix(logger=_quiet, error_level=40)
    except HeaderDataError as error:
        raise ScanError(f"{where}: damaged NIfTI header ({error}); convert or export the scan again") from error
    return header, _repair_dims(header)


def _what_it_is(head: bytes) -> str:
    """Says what a file is that is no scan, and the remedy."""
    text = head.lstrip().lower()
    if head[:2] == _GZIP_MAGIC:
        return "is compressed twice; unpack it once (gunzip) and try again"
    if b"/annex/objects/" in head or text.startswith(b"version https://git-lfs"):
        return POINTER
    if text.startswith((b"<!doctype html", b"<html")):
        return "is a web page (HTML), not a scan; download the file itself"
    is_dicom = head[128:132] == b"DICM"
    found = "a DICOM file" if is_dicom else f"it starts with {head[:8]!r}"
    return (
        f"not a NIfTI or MGH file ({found}); expected .nii, .nii.gz, .hdr/.img, .mgh or .mgz"
        f"{'; convert the series with dcm2niix' if is_dicom else ''}"
    )


POINTER = (
    "is a pointer of git-annex / Git LFS, not the scan; "
    "fetch the content first (git annex get / datalad get / git lfs pull)"
)


def _check_voxel_size(header: nib.Nifti1Header, where: str) -> None:
    """Raise ScanError if the affine has to be made from pixdim, which is 0 or not finite."""
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if has_sform and (not has_qform or is_regular(_in_mm(_sform(header), header))):
        return
    if not _has_voxel_size(header):
        sizes = ", ".join(general(float(size)) for size in header["pixdim"][1:4])
        raise ScanError(
            f"{where}: its header has no voxel size (pixdim {sizes}) and no affine; volumes could not be measured; "
            f"convert the original images again"
        )


def _has_voxel_size(header: nib.Nifti1Header) -> bool:
    sizes = header["pixdim"][1:4]
    return bool((np.isfinite(sizes) & (sizes != 0)).all())


def _repair_dims(header: nib.Nifti1Header) -> list[Note]:
    """Sets dim[4] to dim[7], as far as dim[0] counts them, from 0 to 1."""
    zero = [k for k in range(4, min(int(header["dim"][0]), 7) + 1) if header["dim"][k] == 0]
    for k in zero:
        header["dim"][k] = 1
    return [make_note("dim-zero", k) for k in zero]


def mm_per_unit(header: nib.Nifti1Header) -> float:
    """Millimetres per unit of the header's sizes: 1, or 1000 (metres) or 0.001 (micrometres) where it says so."""
    return _UNITS.get(int(header["xyzt_units"]) & 7, ("", 1.0))[1]


def affine_in_mm(header: nib.Nifti1Header, where: str) -> tuple[NDArray[np.float64], list[Note]]:
    """Affine [4, 4] (voxel to RAS, mm), and notes on how it was made.

    The sform counts, else the qform, else the voxel sizes. Raises ScanError if none is usable.
    """
    unit = _UNITS.get(int(header["xyzt_units"]) & 7)
    notes = [make_note(unit[0])] if unit else []
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if has_sform:
        sform = _in_mm(_sform(header), header)
        if is_regular(sform) or not has_qform:
            if has_qform and _sides_differ(sform, header):
                notes.append(make_note("forms-disagree"))
            return check_affine(sform, where), notes
        notes.append(make_note("sform-unusable"))
    if has_qform:
        try:
            affine = _qform(header)
        except (HeaderDataError, ValueError) as error:
            raise ScanError(f"{where}: no affine can be made of its qform ({error}); convert the scan again") from error
    else:
        affine = np.asarray(header.get_base_affine(), np.float64)
        notes.append(make_note("no-forms"))
    return check_affine(_in_mm(affine, header), where), notes


def _in_mm(affine: NDArray[np.float64], header: nib.Nifti1Header) -> NDArray[np.float64]:
    return np.diag([mm_per_unit(header)] * 3 + [1.0]) @ affine if mm_per_unit(header) != 1 else affine


def _sides_differ(sform: NDArray[np.float64], header: nib.Nifti1Header) -> bool:
    """Whether sform and qform mirror each other, or the sform's left-right axis runs the other way in the qform."""
    try:
        qform = _qform(header)
    except (HeaderDataError, ValueError):
        return False
    if not np.isfinite(qform).all():
        return False
    axis = int(np.argmax(np.abs(sform[0, :3])))
    handedness = np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3])
    return bool(handedness < 0 or sform[0, axis] * qform[0, axis] < 0)


def _sform(header: nib.Nifti1Header) -> NDArray[np.float64]:
    return np.asarray(header.get_sform(), np.float64)


def _qform(header: nib.Nifti1Header) -> NDArray[np.float64]:
    """The qform as nibabel has it; a quaternion that rounding made too long is normalised, as niftilib does.

    Raises HeaderDataError for an impossible quaternion.
    """
    bcd = np.array([header["quatern_b"], header["quatern_c"], header["quatern_d"]], np.float64)
    w2 = 1 - bcd @ bcd
    if not QUATERNION_ROUNDING <= w2 < 0:
        return np.asarray(header.get_qform(), np.float64)
    sizes = np.array(header["pixdim"][1:4], np.float64)
    sizes[2] *= -1 if header["pixdim"][0] == -1 else 1
    affine = np.eye(4)
    affine[:3, :3] = quat2mat([0.0, *bcd]) * sizes  # quat2mat normalises
    affine[:3, 3] = [header["qoffset_x"], header["qoffset_y"], header["qoffset_z"]]
    return affine


def is_regular(affine: NDArray[np.float64]) -> bool:
    """Whether an affine (mm) is finite and gives its voxels a volume."""
    return bool(np.isfinite(affine).all()) and abs(float(np.linalg.det(affine[:3, :3]))) > SMALLEST_VOXEL_MM3


def check_affine(affine: NDArray[np.float64], where: str) -> NDArray[np.float64]:
    """The affine [4, 4] itself. Raises ScanError if it is not finite or its voxels have no volume."""
    if not is_regular(affine):
        raise ScanError(
            f"{where}: its affine is singular or non-finite (rows {affine[:3].tolist()}), so voxels have no place "
            f"in space; repair the sform/qform or convert the scan again"
        )
    return affine
