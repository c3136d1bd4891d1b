"""Replace a file atomically: a reader finds the old content or the new, never a part of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to; at the end the file written there replaces `path` atomically.

    If writing fails with OSError (a full disk, a limit on file sizes), the partial file is deleted, `path` stays as it
    was, and the error is raised with the name `path`.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        error.filename, error.filename2 = str(path), None
        raise


def write_text(path: Path, text: str) -> None:
    """Replace the file `path` atomically by this text. Raises OSError.

    Bytes of a name that are not UTF-8 are written as escapes.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
