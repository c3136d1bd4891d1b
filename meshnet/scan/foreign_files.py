"""Say what a file is that is no scan, by its first bytes, and what to do about it.

`static/src/volume/foreign-files.ts` has the same table and the same sentences.
"""

from __future__ import annotations

from meshnet.scan.scan_stream import ScanError

_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

POINTER = (
    "is a pointer of git-annex / Git LFS, not the scan; "
    "fetch the content first (git annex get / datalad get / git lfs pull)"
)

_UNPACK = "unpack it and give the scan inside"
_PICTURE = "a picture has no voxel sizes; export the scan as DICOM or .nii.gz"
_CONVERT = "convert the scan to .nii.gz"
_EXPECTED = "expected .nii, .nii.gz, .hdr/.img, .mgh or .mgz"

#: Place and bytes of a mark, what has it, and the remedy.
_MARKS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"BZh", "compressed with bzip2", _UNPACK),
    (0, b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "compressed with Zstandard", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (0, b"PK\3\4", "a zip archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x89PNG", "a PNG picture", _PICTURE),
    (0, b"\xff\xd8\xff", "a JPEG picture", _PICTURE),
    (0, b"GIF8", "a GIF picture", _PICTURE),
    (0, b"II*\0", "a TIFF picture", _PICTURE),
    (0, b"MM\0*", "a TIFF picture", _PICTURE),
    (0, b"%PDF", "a PDF document", _PICTURE),
    (0, b"\x89HDF", "HDF5, such as MINC 2 or a Keras model", f"{_CONVERT} (mnc2nii)"),
    (0, b"CDF\1", "NetCDF, such as MINC 1", f"{_CONVERT} (mnc2nii)"),
    (0, b"CDF\2", "NetCDF, such as MINC 1", f"{_CONVERT} (mnc2nii)"),
    (0, b"NRRD", "NRRD", _CONVERT),
    (0, b"ObjectType", "MetaImage", _CONVERT),
    (0, b"NDims", "MetaImage", _CONVERT),
    (0, b"\x93NUMPY", "a NumPy array", f"{_CONVERT}, with its affine (nibabel)"),
    (0, b"MATLAB", "a MATLAB file", f"{_CONVERT}, with its affine"),
    (0, b"<?xml", "XML", "download the scan itself"),
    (128, b"DICM", "a DICOM file, which dcm2niix converts", "give the folder of the series"),
)


def refuse_foreign(head: bytes, where: str) -> None:
    """Raise ScanError for an empty file, doubled compression, a pointer and a web page.

    head: the first bytes of the unpacked file, 540 or more if there are as many.
    """
    text = head.removeprefix(_BYTE_ORDER_MARK).lstrip().removeprefix(_BYTE_ORDER_MARK).lower()
    if not head:
        raise ScanError(f"{where}: the file is empty; get it again")
    if head[:2] == _GZIP_MAGIC:
        raise ScanError(f"{where}: is compressed twice; unpack it once (gunzip) and try again")
    if _is_annex_path(head) or text.startswith(b"version https://git-lfs"):
        raise ScanError(f"{where}: {POINTER}")
    if text.startswith((b"<!doctype html", b"<html")):
        raise ScanError(f"{where}: is a web page (HTML), not a scan; download the file itself")


def not_a_scan(head: bytes) -> str:
    """The sentence about a file that begins like no format that is read."""
    for place, mark, what, remedy in _MARKS:
        if head[place : place + len(mark)] == mark:
            return f"not a NIfTI or MGH file ({what}); {remedy}"
    return f"not a NIfTI or MGH file (it starts with {_start(head)}); {_EXPECTED}"


def _is_annex_path(head: bytes) -> bool:
    """Whether a short text is the path that a checkout without links has in place of git-annex's content."""
    line = head.strip().replace(b"\\", b"/")
    return b"/annex/objects/" in line and b"\0" not in line


def _start(head: bytes) -> str:
    """The first eight bytes: as text where they are ASCII, else in hex."""
    start = head[:8]
    if all(32 <= byte < 127 or byte in (9, 10, 13) for byte in start):
        return '"' + "".join(chr(byte) if byte >= 32 else " " for byte in start) + '"'
    return f"bytes {start.hex(' ')}"
