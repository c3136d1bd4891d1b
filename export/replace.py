"""An earlier export gives way to a new one; a folder that holds anything else doesn't."""

from __future__ import annotations

from pathlib import Path

from export.to_site import MARKER, earlier_files
from meshnet.model.spec import SpecError


def check_earlier(old: Path, new: Path, *, shown: Path) -> None:
    """Raise SpecError where the folder `old` may be more than an earlier export of the same kind as `new`.

    An earlier export has the files of the new one, no more and no fewer; a copy of the site has those that its own
    service worker lists, whose names change with their content. An empty folder is no loss. `shown`: `old` as the
    user gave it.
    """
    found = _files(old)
    wanted = earlier_files(old) if (new / MARKER).exists() else _files(new)
    foreign = sorted(found - wanted)
    if foreign:
        raise SpecError(
            f"{shown / foreign[0]}: not a file of this export, and --overwrite would delete it; "
            f"move it away, or choose another folder"
        )
    missing = sorted(wanted - found)
    if found and missing:
        raise SpecError(
            f"{shown}: has no {missing[0]}, so it is no earlier export of this kind; "
            f"delete it yourself, or choose another folder"
        )


def put_in_place(new: Path, out: Path, *, aside: Path) -> None:
    """Rename `new` to `out`. A folder that is there goes to `aside`, and comes back where something fails."""
    try:
        if out.exists():
            out.rename(aside)
        new.rename(out)
    except BaseException:
        if aside.exists() and not out.exists():
            aside.rename(out)
        raise


def _files(folder: Path) -> set[str]:
    """Everything in a folder but folders, links among it, relative and with slashes."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
