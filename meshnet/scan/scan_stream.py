"""Read the bytes of scan files, decompressed, and find the other file of a .hdr/.img pair."""

from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

_GZIP_MAGIC = b"\x1f\x8b"


class ScanError(ValueError):
    """A scan that can't be used. The message names the file, the problem and the remedy."""


class ScanStream:
    """A file opened for reading; decompresses gzip, which it recognises by content. Errors of gzip become ScanError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw = path.open("rb")
        is_gzip = self._raw.read(2) == _GZIP_MAGIC
        self._raw.seek(0)
        self._file: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=self._raw) if is_gzip else self._raw

    def read(self, count: int) -> bytes:
        """Up to `count` bytes, all for -1. Raises ScanError for a truncated or damaged gzip stream."""
        try:
            return self._file.read(count)
        except EOFError as error:
            raise ScanError(
                f"{self.path}: the gzip stream ends early (truncated download or copy); get the file again"
            ) from error
        except (zlib.error, gzip.BadGzipFile) as error:
            raise ScanError(f"{self.path}: the gzip stream is damaged ({error}); get the file again") from error

    def skip(self, count: int) -> int:
        """Read and discard up to `count` bytes; returns the number of bytes read."""
        left = count
        while left > 0 and (chunk := self.read(min(left, 1 << 20))):
            left -= len(chunk)
        return count - left

    def seek(self, position: int) -> None:
        """Move to this byte of the decompressed file."""
        self._file.seek(0)
        self.skip(position)

    def length(self) -> int:
        """Bytes of the decompressed file; moves to its end."""
        self._file.seek(0)
        return self.skip(sys.maxsize)

    def close(self) -> None:
        self._file.close()
        self._raw.close()


def read_to_end(path: Path) -> bytes:
    """The bytes of a file, decompressed. Raises ScanError if its gzip stream is cut, even in the last checksum."""
    with closing(ScanStream(path)) as stream:
        return stream.read(-1)


def pair_partner(path: Path, suffix: str, other: str) -> Path:
    """Path of the other file of a .hdr/.img pair, compressed or not. Raises ScanError if it is missing.

    suffix: ending of `path`, ".hdr" or ".img"; other: the ending to look for.
    """
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    stem = name[: -len(suffix)]
    upper = name.endswith(suffix.upper())
    for ending in (other, other + ".gz"):
        partner = path.with_name(stem + (ending.upper() if upper else ending))
        if partner.is_file():
            return partner
    raise ScanError(f"{path}: its {other} file is missing; a NIfTI pair needs {stem}.hdr and {stem}.img side by side")
