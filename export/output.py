"""Check the output folder of a command, and word the errors of the file system."""

from __future__ import annotations

from pathlib import Path


def file_in_the_way(out: Path) -> Path | None:
    """The file at `out` or at one of its parents that prevents `out` from being a folder; None if there is none."""
    return next((p for p in (out, *out.parents) if p.exists() and not p.is_dir()), None)


def system_error(error: OSError, out: Path) -> str:
    """The error as text: file (`out` if the error names none), problem and reason."""
    return f"{error.filename or out}: cannot be read or written ({error.strerror or error})"
