"""Word the errors of the file system."""

from __future__ import annotations

from pathlib import Path


def system_error(error: OSError, out: Path) -> str:
    """The error as text: file (`out` if the error names none), problem and reason."""
    return f"{error.filename or out}: cannot be read or written ({error.strerror or error})"
