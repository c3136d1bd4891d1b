"""Replace an earlier export by a new one; refuse a folder that contains anything else."""

from __future__ import annotations

from pathlib import Path

from export.to_site import MARKER, earlier_files
from meshnet.model.spec import PICTURE_FILE, SpecError


def check_earlier(old: Path, new: Path, *, shown: Path) -> None:
    """Raise SpecError unless the folder `old` is empty or an earlier export of the same kind as `new`.

    An earlier export has exactly the file names of the new one, perhaps without the model's picture. An earlier copy of
    the site has the files that its service worker lists, because their names change with their content. shown: `old` as
    the user gave it, for messages.
    """
    found = _files(old)
    wanted = earlier_files(old) if (new / MARKER).exists() else _files(new)
    foreign = sorted(found - wanted)
    if foreign:
        raise SpecError(
            f"{shown / foreign[0]}: not a file of this export, and --overwrite would delete it; "
            f"move it away, or choose another folder"
        )
    missing = sorted(path for path in wanted - found if Path(path).name != PICTURE_FILE)
    if found and missing:
        raise SpecError(
            f"{shown}: has no {missing[0]}, so it is no earlier export of this kind; "
            f"delete it yourself, or choose another folder"
        )


def put_in_place(new: Path, out: Path, *, aside: Path) -> None:
    """Rename `new` to `out`. An existing `out` is moved to `aside` and restored if the renaming fails."""
    try:
        if out.exists():
            out.rename(aside)
        new.rename(out)
    except BaseException:
        if aside.exists() and not out.exists():
            aside.rename(out)
        raise


def _files(folder: Path) -> set[str]:
    """Relative paths of all files and links in a folder, with slashes."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()}
