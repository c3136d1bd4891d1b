"""Errors of the file system in words, and tables and folders that are checked before a run."""

from __future__ import annotations

import csv
import errno
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from meshnet.model.folders import file_in_the_way
from meshnet.scan.scan_stream import ScanError

#: Errors of the system -> what to do.
_REMEDIES = {
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some space and try again",
    errno.EFBIG: "write to a place that allows larger files",
    errno.EROFS: "choose another place",
    errno.EACCES: "check its permissions, or choose another place",
    errno.EPERM: "check its permissions, or choose another place",
    errno.EEXIST: "a file has this name; choose another name",
    errno.ENOTDIR: "a file stands where a folder is expected; choose another place",
    errno.EISDIR: "a folder has this name; choose another name",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def sentence_of(error: BaseException) -> str:
    """The message of an error; for one of the system the file, the reason and what to do."""
    if not isinstance(error, OSError) or error.strerror is None:
        return str(error)
    where = "" if error.filename is None else f"{error.filename}: "
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{where}{error.strerror}" + ("" if remedy is None else f"; {remedy}")


def check_folder(folder: Path, contents: str, remedy: str) -> None:
    """Check that files can be written in a folder, which need not exist yet; nothing is made.

    Raises ScanError with this remedy if not.
    """
    try:
        with tempfile.TemporaryFile(dir=nearest_existing(folder)):
            pass
    except OSError as error:
        raise ScanError(f"{folder}: no {contents} can be written there ({_reason(folder, error)}); {remedy}") from error


def nearest_existing(path: Path) -> Path:
    """The path itself, else the nearest folder above it that exists. Raises OSError if that can't be found out."""
    for place in (path, *path.parents):
        try:
            place.stat()
        except FileNotFoundError:
            continue
        return place
    return Path()


class Table:
    """A CSV table that is being written."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path, self._rows = path, csv.writer(file)
        self.has_failed = False

    def writerows(self, rows: Sequence[Sequence[object]]) -> None:
        """Add rows. Raises ScanError if they can't be written."""
        self.has_failed = True
        with _errors_in_words(self._path):
            self._rows.writerows(rows)
        self.has_failed = False


@contextmanager
def open_table(path: Path, columns: Sequence[str]) -> Iterator[Table]:
    """A table with this first row. Raises ScanError, which names --csv, if it can't be written.

    It is line-buffered, so that finished rows are on disk if a later scan is interrupted. Bytes of a name that are not
    UTF-8 are written as escapes, so that the table can be read.
    """
    with _errors_in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w", newline="", encoding="utf-8", errors="backslashreplace", buffering=1)
    table = Table(path, file)
    try:
        table.writerows([columns])
        yield table
    finally:
        # Closing tries the unwritten rows once more; that error has been reported already.
        with suppress(OSError) if table.has_failed else _errors_in_words(path):
            file.close()


@contextmanager
def _errors_in_words(table: Path) -> Iterator[None]:
    """An OSError of the block becomes a ScanError that names the table."""
    try:
        yield
    except OSError as error:
        reason = _reason(table.parent, error)
        raise ScanError(
            f"{table}: the table can't be written there ({reason}); choose another file with --csv"
        ) from error


def _reason(folder: Path, error: OSError) -> str:
    """Why the folder can't be made or written in; a file in its place is named."""
    file = file_in_the_way(folder)
    return f"{file} is a file" if file is not None else str(error.strerror)
