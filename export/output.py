"""Where a command may write, and what it says where the system refuses."""

from __future__ import annotations

from pathlib import Path


def file_in_the_way(out: Path) -> Path | None:
    """What keeps `out` from being a folder: itself, or a file where a folder around it would be."""
    return next((p for p in (out, *out.parents) if p.exists() and not p.is_dir()), None)


def system_error(error: OSError, out: Path) -> str:
    """The error as a sentence's beginning; `out` where the system names no file."""
    return f"{error.filename or out}: cannot be read or written ({error.strerror or error})"
