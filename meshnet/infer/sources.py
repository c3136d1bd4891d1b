"""The scans of a command line: files, folders, DICOM series, zips, patterns and lists of paths become `Source`s."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from meshnet.scan.archive import is_zip, unpack
from meshnet.scan.dicom import convert_dicom, is_dicom
from meshnet.scan.dicom_slices import DicomSeries
from meshnet.scan.nifti import Scan, read_scan
from meshnet.scan.notes import Note
from meshnet.scan.scan_paths import (
    SCAN_SUFFIXES,
    files_below,
    find_scans,
    is_label_file,
    is_searched,
    is_special,
    location,
    stem_of,
)
from meshnet.scan.scan_stream import ScanError


@dataclass(frozen=True)
class Source:
    """One scan to segment."""

    path: Path  #: the file to read; for DICOM and zips a temporary one
    name: Path  #: the path that messages show and that the result is named after
    home: Path  #: the folder that holds the scan, the DICOM folder or the zip
    files: tuple[Path, ...]  #: what was given: the scan, its pair, the DICOM files, or the zip
    is_named: bool  #: given by name, so taken even if its values look like labels
    notes: tuple[Note, ...] = ()  #: of the conversion
    error: str | None = None  #: why there is nothing to read
    left_out: str | None = None  #: why it is not segmented, which is no error
    dicom: DicomSeries | None = None  #: the slices of a converted series


@dataclass(frozen=True)
class Word:
    """One path of the command line. is_named: not a match of a pattern."""

    path: Path
    is_named: bool = True


def expand(words: Iterable[str], lists: Iterable[str] = ()) -> list[Word]:
    """Paths of a command line's words and of its list files.

    A word that names nothing that exists may be a pattern (`*`, `?`, `[...]`, `**` for any folders) or `@FILE`, a list;
    `-` is a list on standard input. A list has one path per line; empty lines and lines that begin with # are ignored.
    Raises ScanError for a pattern without matches and a list that is missing, empty or not UTF-8.
    """
    found: list[Word] = []
    for word in words:
        path = Path(word)
        if path.exists() or path.is_symlink():
            found.append(Word(path))
        elif word == "-" or word.startswith("@"):
            found += _listed(word.removeprefix("@"))
        elif any(letter in word for letter in "*?["):
            matches = [Path(match) for match in sorted(glob.glob(word, recursive=True))]
            kept = [path for path in matches if path.is_dir() or _may_be_scan(path)]
            if not kept:
                raise ScanError(f"{word}: no scan has a name like this; check the pattern and the folder")
            found += [Word(path, is_named=False) for path in kept]
        else:
            found.append(Word(path))
    return found + [word for name in lists for word in _listed(name)]


def find_sources(
    words: Sequence[Word], *, out: Path | None, model_id: str, scratch: Path
) -> tuple[list[Source], list[Path]]:
    """The scans of `words`, each once, and the label files that were left out.

    DICOM files and zips are converted into the folder `scratch`; one that can't be converted is a Source with an error.
    out: folder of the results, None if they lie beside their scans. Raises ScanError as `find_scans` does.
    """
    found: dict[Path, Source] = {}
    left_out: dict[Path, Path] = {}
    for word in _with_series_together(words):
        sources, labels = _sources_of(word, out, model_id, scratch)
        for source in sources:
            found.setdefault(location(source.name), source)
        for path in labels:
            left_out.setdefault(location(path), path)
    return list(found.values()), [path for place, path in left_out.items() if place not in found]


def read_source(source: Source, *, frame: int | None) -> Scan:
    """Read a scan, with the notes of its conversion. Messages have the source's name, not a temporary path.

    Raises ScanError and OSError as `read_scan` does.
    """
    if source.error is not None:
        raise ScanError(source.error)
    if source.path == source.name:
        return read_scan(source.path, frame=frame)
    try:
        scan = read_scan(source.path, frame=frame)
    except ScanError as error:
        raise ScanError(str(error).replace(str(source.path), str(source.name))) from error
    return replace(scan, where=str(source.name), notes=(*source.notes, *scan.notes))


def _listed(name: str) -> list[Word]:
    where = "the list on standard input" if name == "-" else name
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ScanError(f"{where}: the list can't be read ({error}); expected UTF-8 text, one path per line") from error
    if "\0" in text:
        raise ScanError(f"{where}: the list has zero bytes; expected UTF-8 text, one path per line")
    lines = [line.strip() for line in text.splitlines()]
    words = [Word(Path(line).expanduser()) for line in lines if line and not line.startswith("#")]
    if not words:
        raise ScanError(f"{where}: the list is empty; expected one path per line")
    return words


def _may_be_scan(path: Path) -> bool:
    return path.name.lower().endswith(SCAN_SUFFIXES) or is_zip(path) or is_dicom(path)


@dataclass(frozen=True)
class _Slices:
    """DICOM files of one folder that were given one by one."""

    files: tuple[Path, ...]


def _with_series_together(words: Sequence[Word]) -> list[Word | _Slices]:
    """The words, with the DICOM files of each folder as one item in the place of the first."""
    of_folder: dict[Path, list[Path]] = {}
    for word in words:
        if word.path.is_file() and is_dicom(word.path):
            of_folder.setdefault(word.path.parent, []).append(word.path)
    slices = {files[0]: _Slices(tuple(files)) for files in of_folder.values()}
    others = {path for files in of_folder.values() for path in files} - slices.keys()
    return [slices.get(word.path, word) for word in words if word.path not in others]


def _sources_of(
    word: Word | _Slices, out: Path | None, model_id: str, scratch: Path
) -> tuple[list[Source], list[Path]]:
    if isinstance(word, _Slices):
        folder = word.files[0].parent
        where = word.files[0] if len(word.files) == 1 else folder
        return _converted(word.files, name=folder, prefix="", where=where, scratch=scratch), []
    path = word.path
    if is_special(path):
        raise ScanError(f"{path}: is a pipe, a socket or a device; expected a file or a folder")
    if path.is_dir():
        return _in_folder(path, out, model_id, scratch)
    if is_zip(path):
        return _in_zip(path, model_id, scratch)
    if not word.is_named and is_label_file(path):
        return [], [path]
    (scan,), labels = find_scans([path], out=out, model_id=model_id)
    return [_plain(scan, is_named=word.is_named)], labels


def _plain(path: Path, *, is_named: bool) -> Source:
    partners = [path]
    if path.name.lower().endswith((".hdr", ".hdr.gz")):
        stem = stem_of(path)
        partners += [p for ending in (".img", ".img.gz", ".IMG") if (p := path.with_name(stem + ending)).is_file()][:1]
    return Source(path, path, path.parent, tuple(partners), is_named)


def _in_folder(folder: Path, out: Path | None, model_id: str, scratch: Path) -> tuple[list[Source], list[Path]]:
    """The scans of a folder. All its DICOM files are converted together, whatever folders they are in."""
    dicom = [path for path in sorted(files_below(folder)) if is_searched(path, folder, out) and is_dicom(path)]
    scans, labels = find_scans([folder], out=out, model_id=model_id, leave_out=set(dicom))
    sources = [_plain(scan, is_named=False) for scan in scans]
    if dicom:
        place = folder if folder.name not in ("", "..") else folder.resolve()
        sources += _converted(dicom, name=place.parent, prefix=f"{place.name}_", where=folder, scratch=scratch)
    return sources, labels


def _in_zip(path: Path, model_id: str, scratch: Path) -> tuple[list[Source], list[Path]]:
    """The scans of a zip, as those of a folder of its name; results go beside the zip."""
    unpacked = _new_folder(scratch) / path.stem
    try:
        unpack(path, unpacked)
        sources, labels = _in_folder(unpacked, None, model_id, scratch)
    except (ScanError, OSError) as error:
        reason = str(error).replace(str(unpacked), str(path)).replace("in this folder", "in this zip")
        return [Source(path, path, path.parent, (path,), True, error=reason)], []
    shown = path.with_suffix("")

    def outside(inner: Path) -> Path:
        return shown / inner.relative_to(unpacked) if inner.is_relative_to(unpacked) else path.parent / inner.name

    named = [
        replace(
            source, name=outside(source.name), home=path.parent, files=(path,), error=_moved(source, unpacked, path)
        )
        for source in sources
    ]
    return named, [outside(label) for label in labels]


def _moved(source: Source, unpacked: Path, path: Path) -> str | None:
    return None if source.error is None else source.error.replace(str(unpacked), str(path))


def _converted(files: Sequence[Path], *, name: Path, prefix: str, where: Path, scratch: Path) -> list[Source]:
    """A Source per series; its name is `name/<prefix><series>.nii`, a file that doesn't exist."""
    try:
        series = convert_dicom(files, _new_folder(scratch), where=str(where))
    except (ScanError, OSError) as error:
        return [Source(where, where, name, tuple(files), True, error=str(error))]
    made = [
        Source(
            path=s.path or where,
            name=name / f"{prefix}{s.name}.nii",
            home=name,
            files=tuple(files),
            is_named=True,
            notes=s.notes,
            error=s.error,
            left_out="has one slice, as a localizer" if s.is_single_slice else None,
            dicom=DicomSeries(tuple(files), s.uid),
        )
        for s in series
    ]
    # A single slice alone is refused by the reader, which says what to give.
    return made if any(s.left_out is None for s in made) else [replace(s, left_out=None) for s in made]


def _new_folder(scratch: Path) -> Path:
    folder = scratch / str(sum(1 for _ in scratch.iterdir()))
    folder.mkdir()
    return folder
