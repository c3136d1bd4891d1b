"""The text that dcm2niix prints: its warnings of each series, and its reason where a conversion fails.

The page has the same rules (static/src/page/dcm2niix/output.ts); a test in tests/parity compares the sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

#: Exit codes of dcm2niix (nii_dicom_batch.h) other than success.
_FAILURES = {2: "it finds no image in them", 8: "some of them are damaged", 10: "slices are missing"}

#: Transfer syntaxes that dcm2niix can't read.
_UNREADABLE = (
    (r"1\.2\.840\.10008\.1\.2\.1\.99", "deflated"),
    (r"1\.2\.840\.10008\.1\.2\.4\.9[45]", "JPIP, whose pixels lie on a server"),
    (r"1\.2\.840\.10008\.1\.2\.4\.10\d(?:\.1)?", "a video (MPEG)"),
    (r"1\.2\.840\.10008\.1\.2\.4\.11[0-2]", "JPEG XL"),
    (r"1\.2\.840\.10008\.1\.2\.4\.20\d", "High-Throughput JPEG 2000"),
)

#: Warnings that say nothing about a failure.
_HARMLESS = ("Patient Position", "Unable to determine manufacturer", "Error: Converted")

_CONVERTED = re.compile(r"Convert \d+ DICOM as (.*?)(?: \([\dx]+\))?$")
_UID = re.compile(r"\d+(?:\.\d+){2,}")
_LONGEST_META_BYTES = 4096


def warnings_of(output: str, name_of: Callable[[str], str]) -> dict[str, list[str]]:
    """dcm2niix's warnings by the file name (without extension) of the series that the next line says is converted.

    Why slices of a series were not stacked goes to all files of that series. name_of: the name to show for a path that
    dcm2niix prints.
    """
    found: dict[str, list[str]] = {}
    apart: list[str] = []
    waiting: list[str] = []
    series: str | None = None
    for line in output.splitlines():
        if line.startswith("Warning: "):
            waiting.append(_cleaned(line, name_of))
        elif line.startswith("Slices not stacked: "):
            if series is not None:
                apart, series = [], None
            apart.append(re.sub(r" varies .*", " varies", line.strip()))  # the values may be a patient's dates
        elif match := _CONVERTED.match(line):
            name = PurePosixPath(match[1]).name
            own = [name, *_UID.findall(name)][-1]  # the series' UID comes last
            if series not in (None, own):
                apart = []
            series = own
            found[name] = list(dict.fromkeys([*apart, *waiting]))
            waiting = []
    return found


def failure_reason(code: int, output: str, name_of: Callable[[str], str]) -> str:
    """The reason of a failed conversion: the exit code in words, and dcm2niix's last error or warning.

    output: standard error after standard output. name_of: as in `warnings_of`.
    """
    reason = _FAILURES.get(code, f"dcm2niix ends with code {code}")
    fault = last_fault(output, name_of)
    return reason if fault is None else f"{reason}: {fault}"


def incomplete_reason(code: int, output: str, name_of: Callable[[str], str]) -> str | None:
    """Why dcm2niix left files out of those that it converted, or None if it did not."""
    return failure_reason(code, output, name_of) if code != 0 else unsupported_syntax(output, name_of)


def last_fault(output: str, name_of: Callable[[str], str]) -> str | None:
    """dcm2niix's last error or warning that may be the reason of a failure, or None."""
    faults = [line for line in output.splitlines() if _is_fault(line)]
    return _cleaned(faults[-1], name_of) if faults else None


def unsupported_syntax(output: str, name_of: Callable[[str], str]) -> str | None:
    """The warning of files that dcm2niix left out because of their transfer syntax, or None."""
    found = next((line for line in output.splitlines() if "Unsupported transfer syntax" in line), None)
    return None if found is None else _cleaned(found, name_of)


def unreadable_syntax(path: Path) -> str | None:
    """Name and UID of a DICOM file's transfer syntax if dcm2niix can't read it, else None."""
    with path.open("rb") as file:
        file.seek(132)
        meta = file.read(_LONGEST_META_BYTES)
    at = 0
    # Elements of the meta header: group, element, VR, length (of 4 bytes after 2 unused ones for OB), value.
    while at + 8 <= len(meta) and meta[at : at + 2] == b"\2\0":
        is_long = meta[at + 4 : at + 6] == b"OB"
        start = at + (12 if is_long else 8)
        length = int.from_bytes(meta[at + 8 : at + 12] if is_long else meta[at + 6 : at + 8], "little")
        if meta[at + 2 : at + 4] == b"\x10\0":
            uid = meta[start : start + length].decode("latin-1").rstrip("\0 ")
            name = next((name for pattern, name in _UNREADABLE if re.fullmatch(pattern, uid)), None)
            return None if name is None else f"{name} ({uid})"
        at = start + length
    return None


def _is_fault(line: str) -> bool:
    return line.startswith(("Error", "Warning")) and not any(text in line for text in _HARMLESS)


def _cleaned(line: str, name_of: Callable[[str], str]) -> str:
    """A line without its kind, references to web pages, and folders of paths."""
    text = re.sub(r"^(?:Error|Warning):? ", "", line)
    text = re.sub(r" \(see [^)]*\)", "", text)
    return re.sub(r"/[^ ,;:()]+", lambda path: name_of(path[0]), text).strip().rstrip(".")
