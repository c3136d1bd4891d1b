"""NIfTI headers: recognise, check and repair them, and make the affine in mm.

Each repair gives a note (notes.py). docs/inputs.md lists what is repaired and what is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import nibabel as nib
import numpy as np
from nibabel.quaternions import quat2mat
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from meshnet.scan.foreign_files import not_a_scan, refuse_foreign
from meshnet.scan.notes import Note, general, make_note
from meshnet.scan.scan_stream import ScanError

SMALLEST_VOXEL_MM3 = 1e-9

#: Rounding may make the vector part of a unit quaternion too long: 1 - b^2 - c^2 - d^2 down to this counts as 0.
QUATERNION_ROUNDING = -1e-5

#: Unit code (the low three bits of xyzt_units) -> note and millimetres per unit. Other codes mean mm.
_UNITS = {1: ("units-metre", 1000.0), 3: ("units-micron", 0.001)}

#: NIfTI datatype codes: integers of 8 to 64 bits, float32 and float64.
_READABLE_CODES = {2, 4, 8, 16, 64, 256, 512, 768, 1024, 1280}
_REFUSED_CODES = {
    1: "binary (1 bit per voxel)",
    32: "complex64",
    128: "RGB24",
    1536: "float128",
    1792: "complex128",
    2048: "complex256",
    2304: "RGBA32",
}

#: A field of view and a distance from the origin (mm) that no scan of a person has.
LARGEST_FIELD_MM, LARGEST_DISTANCE_MM = 1e6, 1e7

#: NIFTI_XFORM_TEMPLATE_OTHER.
LARGEST_FORM_CODE = 5

#: Columns of sform and qform whose angle has a smaller cosine point in different directions (60 degrees).
_SAME_DIRECTION = 0.5
#: sform and pixdim agree about the voxel's volume up to this factor.
_SAME_VOLUME = 1.1

_quiet = logging.getLogger("meshnet.scan.nifti.header")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False


def parse_header(head: bytes, where: str) -> tuple[nib.Nifti1Header, list[Note]]:
    """The header (NIfTI-1 or -2) in the first 540 bytes of a file, and the notes of its repairs.

    `vox_offset` is left as it is in the file. Raises ScanError if it is no header, is damaged, gives no voxel size, or
    describes voxels that are not one real number each.
    """
    refuse_foreign(head, where)
    size_le, size_be = (int.from_bytes(head[:4], order) if len(head) >= 4 else 0 for order in ("little", "big"))
    endianness = "<" if size_le in (348, 540) else ">"
    size = size_le if endianness == "<" else size_be
    if size not in (348, 540):
        raise ScanError(f"{where}: {not_a_scan(head)}")
    if len(head) < size:
        raise ScanError(f"{where}: the header ends after {len(head)} of {size} bytes; get the file again")
    kind = _kind(head, size, where)
    header = kind(head[:size], endianness, check=False)
    _check_fields(header, where)
    unknown = _reset_unknown_codes(header)
    _check_voxel_size(header, where)  # before nibabel replaces sizes of 0 by 1
    contradiction = _sizes_disagree(header)
    offset = header["vox_offset"].item()
    try:
        header["vox_offset"] = 0  # nibabel refuses an offset within the header; `voxel_start` looks at it
        header.check_fix(logger=_quiet, error_level=40)
    except HeaderDataError as error:
        raise ScanError(f"{where}: damaged NIfTI header ({error}); convert or export the scan again") from error
    header["vox_offset"] = offset
    return header, [*_repair_dims(header), *unknown, *contradiction]


def _kind(head: bytes, size: int, where: str) -> type[nib.Nifti1Header]:
    """The class of header that the magic says. size: 348 or 540."""
    if size == 348 and head[344:348] in (b"n+1\0", b"ni1\0"):
        return nib.Nifti1Header
    if size == 348:
        raise ScanError(
            f"{where}: an Analyze 7.5 header without NIfTI magic, which says nothing about left and right; "
            f"convert the original images with dcm2niix"
        )
    if head[4:8] not in (b"n+2\0", b"ni2\0"):
        raise ScanError(f"{where}: {not_a_scan(head)}")
    if head[8:12] not in (b"\r\n\x1a\n", bytes(4)):
        raise ScanError(
            f"{where}: damaged NIfTI header (the end of its magic was changed by a conversion of line ends); "
            f"copy the file again in binary mode"
        )
    kind: type[nib.Nifti1Header] = nib.Nifti2Header
    return kind


def _check_fields(header: nib.Nifti1Header, where: str) -> None:
    """Raise ScanError for a rank or a datatype that can't be read."""
    rank, code = int(header["dim"][0]), int(header["datatype"])
    if not 1 <= rank <= 7:
        raise ScanError(
            f"{where}: damaged NIfTI header (dim[0] is {rank}, expected 1 to 7); convert or export the scan again"
        )
    if code not in _READABLE_CODES:
        kind = _REFUSED_CODES.get(code, f"unknown datatype code {code}")
        raise ScanError(
            f"{where}: voxels are {kind}, expected one real number per voxel; "
            f"choose the magnitude or grey-scale image of this scan"
        )


def _reset_unknown_codes(header: nib.Nifti1Header) -> list[Note]:
    """Sets codes of the forms that NIfTI doesn't define to 0, as nibabel does."""
    unknown = [(form, int(header[f"{form}_code"])) for form in ("qform", "sform")]
    notes = [make_note("form-code-unknown", form, code) for form, code in unknown if not 0 <= code <= LARGEST_FORM_CODE]
    for form, code in unknown:
        header[f"{form}_code"] = code if 0 <= code <= LARGEST_FORM_CODE else 0
    return notes


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


def _sizes_disagree(header: nib.Nifti1Header) -> list[Note]:
    """A note if the sform, which is used, has voxels of another volume than pixdim.

    Where the units are not mm, writers differ in what they give in these units, so none is made.
    """
    sform = _sform(header)
    is_used = int(header["sform_code"]) > 0 and is_regular(sform) and mm_per_unit(header) == 1
    if not is_used or not _has_voxel_size(header):
        return []
    of_sform = float(np.prod(np.linalg.norm(sform[:3, :3], axis=0)))
    of_pixdim = float(np.prod(np.abs(np.array(header["pixdim"][1:4], np.float64))))
    if of_pixdim == 0 or 1 / _SAME_VOLUME <= of_sform / of_pixdim <= _SAME_VOLUME:
        return []
    return [make_note("sizes-disagree", of_sform, of_pixdim)]


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
    shape = [int(n) for n in header["dim"][1:4]]
    if has_sform:
        sform = _in_mm(_sform(header), header)
        if is_regular(sform) or not has_qform:
            check_affine(sform, where, shape)
            return sform, notes + (_forms_disagree(sform, header) if has_qform else [])
        notes.append(make_note("sform-unusable"))
    affine = _qform(header, where) if has_qform else np.asarray(header.get_base_affine(), np.float64)
    if not has_qform:
        notes.append(make_note("no-forms"))
    return check_affine(_in_mm(affine, header), where, shape), notes


def _in_mm(affine: NDArray[np.float64], header: nib.Nifti1Header) -> NDArray[np.float64]:
    return np.diag([mm_per_unit(header)] * 3 + [1.0]) @ affine if mm_per_unit(header) != 1 else affine


def _forms_disagree(sform: NDArray[np.float64], header: nib.Nifti1Header) -> list[Note]:
    """A note if the qform, where it can be made, has other sides or directions than the sform (mm)."""
    try:
        qform = _qform(header, "")
    except ScanError:
        return []
    if not np.isfinite(qform).all():
        return []
    sides = _sides_differ(sform, qform)
    return [make_note("forms-disagree", sides)] if sides or _directions_differ(sform, qform) else []


def _sides_differ(sform: NDArray[np.float64], qform: NDArray[np.float64]) -> bool:
    """Whether sform and qform mirror each other, or the sform's left-right axis runs the other way in the qform."""
    axis = int(np.argmax(np.abs(sform[0, :3])))
    handedness = np.linalg.det(sform[:3, :3]) * np.linalg.det(qform[:3, :3])
    return bool(handedness < 0 or sform[0, axis] * qform[0, axis] < 0)


def _directions_differ(sform: NDArray[np.float64], qform: NDArray[np.float64]) -> bool:
    """Whether an axis of the voxels points in different directions by sform and qform."""
    one, other = sform[:3, :3], qform[:3, :3]
    cosines = (one * other).sum(axis=0) / np.maximum(
        np.linalg.norm(one, axis=0) * np.linalg.norm(other, axis=0), np.finfo(np.float64).tiny
    )
    return bool((cosines < _SAME_DIRECTION).any())


def _sform(header: nib.Nifti1Header) -> NDArray[np.float64]:
    return np.asarray(header.get_sform(), np.float64)


def _qform(header: nib.Nifti1Header, where: str) -> NDArray[np.float64]:
    """The qform as nibabel has it; a quaternion that rounding made too long is normalised, as niftilib does.

    Raises ScanError for an impossible quaternion.
    """
    bcd = np.array([header["quatern_b"], header["quatern_c"], header["quatern_d"]], np.float64)
    w2 = 1 - bcd @ bcd
    if not w2 >= QUATERNION_ROUNDING:
        parts = ", ".join(general(float(x)) for x in bcd)
        raise ScanError(
            f"{where}: no affine can be made of its qform (the quaternion {parts} is longer than 1); "
            f"convert the scan again"
        )
    if w2 >= 0:
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


def check_affine(affine: NDArray[np.float64], where: str, shape: Sequence[int]) -> NDArray[np.float64]:
    """The affine [4, 4] itself. Raises ScanError if it is not finite, its voxels have no volume, or no person fits.

    shape: voxels along i, j, k.
    """
    if not is_regular(affine):
        rows = ", ".join(f"[{', '.join(general(float(x)) for x in row)}]" for row in affine[:3])
        raise ScanError(
            f"{where}: its affine is singular or non-finite (rows {rows}), so voxels have no place "
            f"in space; repair the sform/qform or convert the scan again"
        )
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    field, distance = float((sizes * shape).max()), float(np.abs(affine[:3, 3]).max())
    if field > LARGEST_FIELD_MM or distance > LARGEST_DISTANCE_MM:
        voxel = " x ".join(general(float(size)) for size in sizes)
        raise ScanError(
            f"{where}: its voxels of {voxel} mm span {general(field)} mm and lie {general(distance)} mm from the "
            f"origin, which no scan of a head does; check xyzt_units, pixdim and sform, or convert the original "
            f"images again"
        )
    return affine
