"""Zipped scans."""

from __future__ import annotations

import shutil
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from meshnet.scan.scan_stream import ScanError

#: More than any study; a zip that unpacks to more is a mistake or a zip bomb. The page has the same limit
#: (static/src/page/ui/archive.ts).
MOST_BYTES = 4 * 2**30


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip does, or as a zip without files."""
    try:
        with path.open("rb") as file:
            return file.read(4) in (b"PK\3\4", b"PK\5\6")
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return False


def unpack(path: Path, to: Path) -> None:
    """Unpack a zip into the folder `to`. Hidden files and those of macOS are left out.

    Raises ScanError for a zip that is damaged, encrypted, without files or larger than the free space, and for a zip
    within a zip.
    """
    to.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir() and not _is_hidden(member)]
            _check(path, members, free=shutil.disk_usage(to).free)
            for member in members:
                archive.extract(member, to)  # never outside `to`, and no more than `file_size` bytes
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ScanError(f"{path}: the zip can't be unpacked ({error}); get the file again") from error
    except OSError as error:  # a name that is too long, or no space left
        raise ScanError(f"{path}: the zip can't be unpacked ({error.strerror}); unpack it yourself") from error


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in Path(member.filename).parts)


def _check(path: Path, members: Sequence[zipfile.ZipInfo], *, free: int) -> None:
    """Raise ScanError for members that can't be unpacked. free: bytes."""
    if not members:
        raise ScanError(f"{path}: the zip holds no files; get it again")
    for member in members:
        if member.filename.lower().endswith(".zip"):
            raise ScanError(f"{path}: {member.filename} is inside another zip; unpack the outer zip first")
        if member.flag_bits & 1:
            raise ScanError(f"{path}: the zip is encrypted; unpack it first")
    size = sum(member.file_size for member in members)
    if size > min(free, MOST_BYTES):
        raise ScanError(
            f"{path}: the zip unpacks to {size / 2**30:.1f} GiB, more than "
            f"{'the free space' if free < MOST_BYTES else f'{MOST_BYTES / 2**30:.0f} GiB'}; "
            f"unpack the scans of it that you need yourself"
        )
