"""Zipped scans."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

from meshnet.scan.scan_stream import ScanError


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip does."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"PK\3\4"
    except OSError:
        return False


def unpack(path: Path, to: Path) -> None:
    """Unpack a zip into the folder `to`. Hidden files and those of macOS are left out.

    Raises ScanError for a damaged or encrypted zip, and for a zip within a zip.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                parts = Path(member.filename).parts
                if member.is_dir() or any(part.startswith(".") or part == "__MACOSX" for part in parts):
                    continue
                if member.filename.lower().endswith(".zip"):
                    raise ScanError(f"{path}: {member.filename} is inside another zip; unpack the outer zip first")
                if member.flag_bits & 1:
                    raise ScanError(f"{path}: the zip is encrypted; unpack it first")
                archive.extract(member, to)  # never outside `to`
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ScanError(f"{path}: the zip can't be unpacked ({error}); get the file again") from error
