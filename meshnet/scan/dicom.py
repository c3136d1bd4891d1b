"""DICOM series to NIfTI files by dcm2niix, which the extra `dicom` installs.

Files are recognised by content, since names are arbitrary in DICOM. The page has the same rules
(static/src/page/ui/dicom.ts, dicom-bytes.ts, series-names.ts, choices.ts).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshnet.scan.dicom_output import failure_reason, incomplete_reason, unreadable_syntax, warnings_of
from meshnet.scan.notes import Note, make_note
from meshnet.scan.scan_stream import ScanError

_PREAMBLE = 128

#: SOP classes Segmentation Storage and Label Map Segmentation Storage.
_SEGMENTATIONS = (b"1.2.840.10008.5.1.4.1.1.66.4", b"1.2.840.10008.5.1.4.1.1.66.7")

#: File name of a series: its number and description, date and time, the UIDs of study and series. `_tell_apart` drops
#: what is not needed of the last three.
_PATTERN = "%s_%d_%t_%k_%j"
_NAME = re.compile(
    r"(?P<base>.*?)(?:_(?P<time>\d{1,14}))?_(?P<study>\d+(?:\.\d+){3,})(?:_(?P<series>\d+(?:\.\d+){2,}))?(?P<ending>.*)"
)

#: dcm2niix's endings of images that it resampled, and what it did.
_RESAMPLED = re.compile(r"_(Tilt_Eq|Tilt|Eq)(?:_\d+)?$")
_REPAIRS = {
    "Eq": "slices are missing or unevenly spaced; dcm2niix resampled them to even spacing",
    "Tilt": "the gantry was tilted; dcm2niix removed the tilt",
    "Tilt_Eq": "the gantry was tilted and slices are uneven; dcm2niix removed the tilt and resampled the slices",
}

#: Tags of PixelSpacing, ImagerPixelSpacing and NominalScannedPixelSpacing in either byte order, searched as bytes.
_SPACING_TAGS = (b"\x28\0\x30\0", b"\0\x28\0\x30", b"\x18\0\x64\x11", b"\x18\0\x10\x20")
_HEAD_BYTES = 2**16
_NO_SIZE = "volumes could not be measured; export the series again"


@dataclass(frozen=True)
class Series:
    """One converted series, or why one could not be converted."""

    path: Path | None  #: the NIfTI file; None with `error`
    name: str  #: number and description, as far as needed with date or study: "3_T1_head"
    uid: str | None  #: Series Instance UID; None if the files have none
    notes: tuple[Note, ...] = ()  #: dcm2niix's warnings, and what it resampled
    is_single_slice: bool = False  #: as those of a localizer
    error: str | None = None


def is_dicom(path: Path) -> bool:
    """Whether a file has the mark DICM, begins with it, or begins with a DICOM element of group 2 or 8."""
    try:
        with path.open("rb") as file:
            head = file.read(_PREAMBLE + 4)
    except (OSError, ValueError):  # ValueError: a name with a zero byte
        return False
    if head[_PREAMBLE:] == b"DICM":
        return True
    if len(head) < 12:
        return False
    if head[:4] == b"DICM":
        return head[4:6] == b"\2\0"
    group, element = int.from_bytes(head[:2], "little"), int.from_bytes(head[2:4], "little")
    explicit = re.fullmatch(rb"[A-Z]{2}", head[4:6]) is not None
    if group == 2:
        return element <= 0x10 and explicit
    # Group length, Language Code, Specific Character Set, Image Type, dates, SOP class: what group 8 begins with.
    return group == 8 and element <= 0x20 and (explicit or int.from_bytes(head[4:8], "little") <= 256)


def is_segmentation(path: Path) -> bool:
    """Whether a DICOM file's meta header says that it is a segmentation, which dcm2niix would convert like a scan."""
    with path.open("rb") as file:
        head = file.read(1024)
    return any(uid + end in head for uid in _SEGMENTATIONS for end in (b"\0", b"\2\0"))


def convert_dicom(files: Sequence[Path], to: Path, *, where: str) -> list[Series]:
    """Convert DICOM files to one NIfTI file per series, in the empty folder `to`; sorted by name.

    Of a series that dcm2niix also resampled (missing slices, gantry tilt), only the resampled image is returned, with a
    note. Segmentations are left out. where: the files' name, for messages. Raises ScanError if dcm2niix is missing or
    converts nothing.
    """
    program = _dcm2niix(where)
    files = [file for file in files if not is_segmentation(file)]
    if not files:
        raise ScanError(f"{where}: these DICOM files are segmentations; give the series that they were made from")
    staged, converted = to / "dicom", to / "nifti"
    staged.mkdir(parents=True)
    converted.mkdir()
    for number, file in enumerate(files):  # folders of a study repeat the same names
        _link(file.resolve(), staged / f"{number}.dcm")
    # No sidecar files; neither cropped nor rotated.
    options = ["-f", _PATTERN, "-b", "n", "-z", "n", "-x", "i", "-d", "0", "-o", str(converted)]
    done = subprocess.run([program, *options, str(staged)], capture_output=True, check=False)
    paths = sorted(converted.glob("*.nii"))
    count = "1 DICOM file" if len(files) == 1 else f"{len(files)} DICOM files"
    if not paths:
        reason = _reason(files, done)
        raise ScanError(f"{where}: {count} could not be converted ({reason}); convert them yourself and give the .nii")
    warnings = warnings_of(done.stdout.decode("utf-8", "replace"), _namer(files))
    names = _tell_apart([path.stem for path in paths])
    by_name = dict(zip(names, paths, strict=True))
    resampled = {_RESAMPLED.sub("", name) for name in names if _RESAMPLED.search(name)}
    unsized = _without_pixel_spacing(files)
    series = []
    for name, path in sorted(by_name.items()):
        if name in resampled:
            continue
        repair = _RESAMPLED.search(name)
        notes = [make_note("dicom-resampled", _REPAIRS[repair[1]])] if repair else []
        notes += [make_note("dicom-warning", text) for text in warnings.get(_RESAMPLED.sub("", path.stem), [])]
        match = _NAME.fullmatch(path.stem)
        uid = match["series"] if match else None
        if uid is not None and unsized(uid):
            series.append(Series(None, name, uid, error=f"{where}: {name} has no PixelSpacing; {_NO_SIZE}"))
        else:
            series.append(Series(path, name, uid, tuple(notes), is_single_slice=_slice_count(path) == 1))
    if (missing := incomplete_reason(done.returncode, _output(done), _namer(files))) is not None:
        series.append(
            Series(
                None,
                "not_converted",
                None,
                error=f"{where}: not all of {count} could be converted ({missing}); get them again",
            )
        )
    return series


def _dcm2niix(where: str) -> str:
    """Path of the program: that of the PyPI package, else one on PATH."""
    try:
        from dcm2niix import bin as packaged
    except ModuleNotFoundError:
        packaged = shutil.which("dcm2niix")
    if packaged is None:
        raise ScanError(f"{where}: is DICOM, and dcm2niix is not installed; pip install 'meshnet[dicom]'")
    return str(packaged)


def _link(file: Path, link: Path) -> None:
    try:
        os.symlink(file, link)
    except OSError:  # Windows lets few accounts make links
        shutil.copyfile(file, link)


def _reason(files: Sequence[Path], done: subprocess.CompletedProcess[bytes]) -> str:
    """Why dcm2niix converted none of `files`."""
    syntax = unreadable_syntax(files[0])
    if syntax is not None:
        return f"the transfer syntax is {syntax}, which dcm2niix cannot read"
    return failure_reason(done.returncode or 2, _output(done), _namer(files))


def _output(done: subprocess.CompletedProcess[bytes]) -> str:
    return (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")


def _namer(files: Sequence[Path]) -> Callable[[str], str]:
    """The name of a file that dcm2niix knows as 0.dcm, 1.dcm, ..."""

    def name_of(path: str) -> str:
        number = Path(path).stem
        return files[int(number)].name if number.isdecimal() and int(number) < len(files) else Path(path).name

    return name_of


def _without_pixel_spacing(files: Sequence[Path]) -> Callable[[str], bool]:
    """Whether all slices of the series with a UID lack PixelSpacing, so that dcm2niix assumed 1 mm."""
    heads = []
    for file in files:
        with file.open("rb") as stream:
            heads.append(stream.read(_HEAD_BYTES))
    lacking = [head for head in heads if not any(tag in head for tag in _SPACING_TAGS)]
    having = [head for head in heads if any(tag in head for tag in _SPACING_TAGS)] if lacking else []

    def is_lacking(uid: str) -> bool:
        text = uid.encode()
        return any(text in head for head in lacking) and not any(text in head for head in having)

    return is_lacking


def _slice_count(path: Path) -> int:
    """dim[3] of a NIfTI-1 file that dcm2niix wrote."""
    with path.open("rb") as file:
        return int.from_bytes(file.read(48)[46:48], "little")


def _tell_apart(stems: Sequence[str]) -> list[str]:
    """Names without date and study, unless two series of different studies would have the same name.

    Those have the date, or the study's number where the dates are equal: other names would say more about a patient
    than needed. Series of one study with the same name are numbered from the second.
    """
    parts = []
    for stem in stems:
        match = _NAME.fullmatch(stem)
        parts.append(
            _Parts(match["base"], (match["time"] or "")[:8], match["study"], match["series"] or "", match["ending"])
            if match
            else _Parts(stem, "", "", "", "")
        )
    names: list[tuple[str, str]] = []
    for own in parts:
        alike = [other for other in parts if other.base == own.base]
        studies = _distinct(other.study for other in alike)
        dates = _distinct(other.date for other in alike)
        if len(studies) == 1:
            mark = ""
        else:
            mark = f"_{own.date}" if len(dates) == len(studies) else f"_study{studies.index(own.study) + 1}"
        of_study = _distinct(other.series for other in alike if other.study == own.study)
        number = of_study.index(own.series)
        names.append((f"{own.base}{mark}{'' if number == 0 else f'_{number + 1}'}", own.ending))
    # dcm2niix splits a series whose slices have several dates.
    return [
        f"{name}_part{names[:n].count((name, ending)) + 1}{ending}"
        if names.count((name, ending)) > 1
        else f"{name}{ending}"
        for n, (name, ending) in enumerate(names)
    ]


@dataclass(frozen=True)
class _Parts:
    """The parts of a name that dcm2niix gave by `_PATTERN`."""

    base: str
    date: str
    study: str
    series: str
    ending: str


def _distinct(values: Iterable[str]) -> list[str]:
    return sorted(set(values))
