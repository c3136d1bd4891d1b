"""Whether a folder can be made."""

from __future__ import annotations

from pathlib import Path


def file_in_the_way(folder: Path) -> Path | None:
    """The file at `folder` or at a folder above it, because of which it can't be made; None if there is none."""
    return next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None)
