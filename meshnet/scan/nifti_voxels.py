"""Voxels of NIfTI and MGH files: where they start, one frame of them, their scaling, and values that can't be used.

Memory order: arrays are `[i, j, k]`; in the file i runs fastest. docs/conform.md, section 1, has the rules.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.freesurfer.mghformat import MGHHeader
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from meshnet.scan.fill_values import replace_fill
from meshnet.scan.foreign_files import refuse_foreign
from meshnet.scan.label_values import count_few_values, is_label_like, is_probability_like
from meshnet.scan.nifti_header import check_affine
from meshnet.scan.notes import Note, general, make_note
from meshnet.scan.scan_stream import ScanError, ScanStream, pair_partner

MIN_DIM, MAX_DIM, MAX_VOXELS = 2, 2048, 2**28

_MGH_HEADER_SIZE = 284


def read_nifti_voxels(
    stream: ScanStream, header: nib.Nifti1Header, header_path: Path, frame: int | None, where: str
) -> tuple[NDArray[Any], list[Note]]:
    """One frame [i, j, k], unscaled, in this machine's byte order, and notes on where it was found.

    stream: of the header's file. Raises ScanError for a shape or frame that can't be used and for missing voxels.
    """
    shape, frames = check_shape(header.get_data_shape(), frame, where)
    size = int(np.prod(shape)) * frames * header.get_data_dtype().itemsize
    image = _image_path(stream, header, header_path, size)
    if image is None:
        notes = [] if _has_single_magic(header) else [make_note("magic-of-a-pair")]
        start, repaired = _voxel_start(stream, header, size, where, single=True)
        return _frame(stream, header, start, frame, where), notes + repaired
    notes = [make_note("magic-of-a-single-file")] if _has_single_magic(header) else []
    with closing(ScanStream(image)) as voxels:
        refuse_foreign(voxels.read(540), str(image))
        start, repaired = _voxel_start(voxels, header, size, where, single=False)
        return _frame(voxels, header, start, frame, where), notes + repaired


def read_mgh(
    stream: ScanStream, head: bytes, frame: int | None, where: str
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """One frame [i, j, k] in this machine's byte order, and the affine [4, 4].

    head: the first bytes of the file. Raises ScanError as `read_nifti_voxels` does, and for a header without a place.
    """
    if len(head) < _MGH_HEADER_SIZE:
        raise ScanError(
            f"{where}: the MGH header ends after {len(head)} of {_MGH_HEADER_SIZE} bytes; get the file again"
        )
    try:
        header = MGHHeader(head[:_MGH_HEADER_SIZE], check=False)
        header.get_data_dtype()  # raises for an unknown type code
    except (WrapStructError, HeaderDataError, KeyError) as error:
        raise ScanError(f"{where}: damaged MGH header (voxel type {error} is unknown); get the file again") from error
    # Without goodRASFlag nibabel would use FreeSurfer's default orientation, which may be wrong.
    if head[28:30] != b"\0\1":
        raise ScanError(
            f"{where}: its MGH header has no position in space (goodRASFlag is not 1), which says nothing about "
            f"left and right; convert the original images again"
        )
    shape, _ = check_shape(header.get_data_shape(), frame, where)
    affine = check_affine(np.asarray(header.get_affine(), np.float64), where, shape)
    return _frame(stream, header, _MGH_HEADER_SIZE, frame, where), affine


def one_frame(voxels: NDArray[Any], frame: int | None, where: str) -> NDArray[Any]:
    """Voxels [i, j, k] of one frame of [i, j, k] or [i, j, k, frame]. Raises ScanError as `check_shape` does."""
    shape, frames = check_shape(voxels.shape, frame, where)
    return voxels.reshape((*shape, frames))[..., frame or 0]


def check_shape(dims: tuple[int, ...], frame: int | None, where: str) -> tuple[tuple[int, ...], int]:
    """Sizes (i, j, k) and the number of frames; trailing dimensions of size 1 are dropped.

    Raises ScanError for other than three or four dimensions, sizes out of range, and a frame out of range.
    """
    dims = tuple(int(n) for n in dims)
    while len(dims) > 3 and dims[-1] == 1:
        dims = dims[:-1]
    if len(dims) not in (3, 4):
        raise ScanError(f"{where}: expected a 3-D volume, got shape {dims}; convert it to one 3-D file")
    shape, frames = dims[:3], dims[3] if len(dims) == 4 else 1
    if min(dims) < 1 or min(shape) < MIN_DIM or max(shape) > MAX_DIM or np.prod(shape, dtype=float) > MAX_VOXELS:
        raise ScanError(
            f"{where}: shape {dims} is no 3-D head scan; expected {MIN_DIM} to {MAX_DIM} voxels per axis "
            f"and at most {MAX_VOXELS} in all; give all slices of the series together, or check the conversion of "
            f"this file"
        )
    if frame is None and frames > 1:
        raise ScanError(
            f"{where}: expected a 3-D volume, got shape {dims}; pick a frame with --frame 0 to --frame {frames - 1}"
        )
    if frame is not None and not 0 <= frame < frames:
        raise ScanError(f"{where}: --frame {frame} is out of range; this scan has frames 0 to {frames - 1}")
    return shape, frames


def scaled(raw: NDArray[Any], header: nib.Nifti1Header, where: str) -> NDArray[Any]:
    """`raw * scl_slope + scl_inter` in float64, or `raw` if the header doesn't scale.

    Raises ScanError for a slope without an intercept.
    """
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or not np.isfinite(slope):
        return raw
    if not np.isfinite(inter):
        raise ScanError(
            f"{where}: the slope is {general(slope)} but the intercept is {general(inter)}; convert the scan again"
        )
    if slope == 1 and inter == 0:
        return raw
    values: NDArray[Any] = raw.astype(np.float64) * slope + inter
    return values


def usable_values(data: NDArray[Any], where: str) -> tuple[NDArray[Any], list[Note]]:
    """The data [i, j, k] with NaN replaced by 0, and notes on values that a scan doesn't have.

    Raises ScanError for infinite voxels, values too far apart, and a constant image.
    """
    data, notes = _nan_as_zero(data, where)
    low, high = float(data.min()), float(data.max())
    if not np.isfinite(high - low):
        raise ScanError(
            f"{where}: values from {low:g} to {high:g} are too far apart to be a scan's; correct them and try again"
        )
    if low == high:
        raise ScanError(f"{where}: every voxel has the value {general(low)}; a constant image has nothing to segment")
    data, filled = replace_fill(data)
    notes += filled
    if is_label_like(data):
        notes.append(make_note("label-like"))
    elif (count := count_few_values(data)) is not None:
        notes.append(make_note("few-values", count))
    elif is_probability_like(data):
        notes.append(make_note("probability-like"))
    return data, notes


def _nan_as_zero(data: NDArray[Any], where: str) -> tuple[NDArray[Any], list[Note]]:
    bad = int(data.size - np.count_nonzero(np.isfinite(data))) if data.dtype.kind == "f" else 0
    if not bad:
        return data, []
    if np.isinf(data).any():
        raise ScanError(
            f"{where}: {bad} of {data.size} voxels are NaN or infinite; replace them (for instance by 0) and try again"
        )
    return np.where(np.isnan(data), data.dtype.type(0), data), [make_note("nan-read-as-zero", bad / data.size)]


def _has_single_magic(header: nib.Nifti1Header) -> bool:
    return bool(header["magic"].item().startswith(b"n+"))


def _image_path(stream: ScanStream, header: nib.Nifti1Header, header_path: Path, size: int) -> Path | None:
    """The .img that holds the voxels; None if they are in the header's file.

    A file that isn't called .hdr holds them whatever its magic. A .hdr with the magic of a single file holds them
    unless it is too short for `size` bytes and an .img lies beside it. Raises ScanError if the .img is missing.
    """
    if not header_path.name.lower().endswith((".hdr", ".hdr.gz")):
        return None
    if not _has_single_magic(header):
        return pair_partner(header_path, ".hdr", ".img")
    try:
        partner = pair_partner(header_path, ".hdr", ".img")
    except ScanError:
        return None
    return partner if stream.length() < size else None


def _voxel_start(
    stream: ScanStream, header: nib.Nifti1Header, size: int, where: str, *, single: bool
) -> tuple[int, list[Note]]:
    """The byte at which `size` bytes of voxels start, and a note if it isn't the header's `vox_offset`.

    An offset of 0 is the first byte after a single file's header and its four bytes of flags. An offset that can't be
    right is replaced where the length of the file leaves one possibility.
    """
    said, header_size = float(header["vox_offset"]), int(header.sizeof_hdr)
    first = int(header.single_vox_offset) if single else 0
    if not 0 <= said < 2**40:
        raise ScanError(f"{where}: vox_offset {general(said)} is not a valid position; convert the scan again")
    start = int(said) or first
    if start >= first and (said > 0 if single else said == 0):
        return start, []
    length = stream.length()
    if start >= first and start + size <= length:
        return start, []
    if not single or said == 0 or said >= header_size:
        for other in (header_size, first) if single else (0,):
            if other + size == length:
                return other, [make_note("offset-repaired", said, other)]
    if start < first:
        raise ScanError(
            f"{where}: damaged NIfTI header (vox_offset {start} lies before the end of the header, {first}); "
            f"convert or export the scan again"
        )
    return start, []


def _frame(stream: ScanStream, header: Any, offset: int, frame: int | None, where: str) -> NDArray[Any]:
    """One frame [i, j, k] of a file whose voxels start at byte `offset`.

    The other frames are read too, to check that the file is complete. header: nibabel's NIfTI or MGH header.
    """
    dtype: np.dtype[Any] = header.get_data_dtype()
    shape, frames = check_shape(header.get_data_shape(), frame, where)
    frame = frame or 0
    size = int(np.prod(shape)) * dtype.itemsize
    rest = (frames - frame - 1) * size
    stream.seek(offset + frame * size)
    payload = stream.read(size)
    if len(payload) < size or stream.skip(rest) < rest:
        raise ScanError(
            f"{where}: {offset + frames * size - stream.length()} bytes of voxels are missing; the header promises "
            f"{shape} x {frames} of {dtype.name}, so the file is cut short; get it again"
        )
    stream.read(1)  # gzip checks its checksum at the end of the stream
    stored: NDArray[Any] = np.frombuffer(payload, dtype).reshape(shape, order="F")
    return stored.astype(dtype.newbyteorder("="), copy=False)
