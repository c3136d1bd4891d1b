"""The scans of a data set that finished models are scored on: reference, person, acquisition and centre of each.

A data set is a folder of meshnet-prepare, a BIDS folder with `derivatives/lesion_masks`, or a folder of pairs.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshnet.cohort.bids import Case, CohortError, Excluded, find_bids, find_pairs
from meshnet.cohort.prepare import read_index

#: Columns of participants.tsv that name the centre; the first that a file has is taken.
CENTRE_COLUMNS = ("centre", "center", "site", "site_id", "institution", "hospital")

#: A value that the data set doesn't give.
UNNAMED = "unnamed"


@dataclass(frozen=True)
class ReferenceScan:
    """One scan with its reference mask. name: unique in the data set; contrast: BIDS suffix such as T2w, or empty;
    acquisition, centre: `UNNAMED` where the data set names none."""

    name: str
    subject: str
    contrast: str
    acquisition: str
    centre: str
    image: Path
    mask: Path


def find_reference_scans(
    data: Path,
    *,
    contrasts: Sequence[str] = ("T2w",),
    acquisitions: Collection[str] = (),
    participants: Path | None = None,
    centre_column: str = "",
) -> tuple[list[ReferenceScan], list[Excluded]]:
    """The scans of `data` with a reference mask, and those left out.

    contrasts: BIDS suffixes; acquisitions: `acq` labels, empty for all. participants: a table in the form of BIDS's
    participants.tsv; None for that of the data set, if it has one. centre_column: its column with the centres; empty
    for the first of `CENTRE_COLUMNS` that it has. Raises CohortError for a folder without such scans and for a table or
    column that isn't there.
    """
    cases, excluded = _cases(data, contrasts, acquisitions)
    if not cases:
        reasons = "; ".join(f"{e.name}: {e.reason}" for e in excluded[:3])
        raise CohortError(f"{data}: no scan with a reference mask ({reasons}); expected one mask per scan")
    centres = _centres(participants or data / "participants.tsv", centre_column, required=participants is not None)
    return [
        ReferenceScan(
            case.name,
            case.subject,
            _contrast(case.name),
            case.acquisition or UNNAMED,
            centres.get(case.subject, UNNAMED),
            case.image,
            case.mask,
        )
        for case in cases
    ], excluded


def leave_out(scans: Sequence[ReferenceScan], listed: Path) -> tuple[list[ReferenceScan], list[Excluded]]:
    """The scans without those of the listed persons, and the ones left out.

    listed: a text file of subject ids, one on a line, with or without `sub-`; `#` starts a comment. Raises CohortError
    if the file can't be read, names none of the persons, or names all of them.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in listed.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise CohortError(f"--leave-out {listed}: cannot be read ({error}); expected a text file of ids") from error
    ids = {line.removeprefix("sub-") for line in lines if line}
    known = {scan.subject for scan in scans}
    if not ids & known:
        example = f"sub-{min(known)}"
        raise CohortError(
            f"--leave-out {listed}: none of its {len(ids)} ids is in the data; expected ids such as {example}, one on "
            f"a line; without a common person the option isn't needed"
        )
    if known <= ids:
        raise CohortError(f"--leave-out {listed}: names all {len(known)} persons of the data; none is left to score")
    reason = f"listed in {listed.name}"
    return (
        [scan for scan in scans if scan.subject not in ids],
        [Excluded(scan.name, reason) for scan in scans if scan.subject in ids],
    )


def _cases(data: Path, contrasts: Sequence[str], acquisitions: Collection[str]) -> tuple[list[Case], list[Excluded]]:
    if not data.is_dir():
        raise CohortError(f"--data {data}: no such folder; check the path")
    if (data / "index.csv").is_file():
        rows = [r for r in read_index(data) if not acquisitions or r.acquisition in acquisitions]
        return [
            Case(r.name, r.subject, r.session, r.acquisition, r.run, data / r.image, data / r.labels) for r in rows
        ], []
    if any(data.glob("sub-*/")):
        return find_bids(data, acquisitions, contrasts=contrasts)
    try:
        return find_pairs(data)
    except CohortError as error:
        raise CohortError(
            f"--data {data}: neither index.csv of meshnet-prepare, nor sub-* folders of BIDS, nor images NAME.nii.gz "
            f"with NAME_mask.nii.gz; expected one of the three"
        ) from error


def _centres(table: Path, column: str, *, required: bool) -> Mapping[str, str]:
    """Centre by subject (without `sub-`)."""
    option = f"--centre-column {column}: " if column else ""
    if not table.is_file():
        if required or column:
            raise CohortError(f"{option}{table}: no such file; expected a table such as BIDS's participants.tsv")
        return {}
    with table.open(newline="", encoding="utf-8-sig") as file:
        lines = list(csv.DictReader(file, delimiter="\t"))
    columns = list(lines[0]) if lines else []
    if "participant_id" not in columns:
        raise CohortError(f"{table}: no column participant_id; expected a tab-separated table such as BIDS has it")
    if column and column not in columns:
        raise CohortError(f"{option}{table} has no such column; expected one of {', '.join(columns)}")
    chosen = column or next((name for name in CENTRE_COLUMNS if name in columns), "")
    if not chosen:
        return {}
    values = {line["participant_id"].removeprefix("sub-"): (line[chosen] or "").strip() for line in lines}
    return {subject: value for subject, value in values.items() if value not in ("", "n/a")}


def _contrast(name: str) -> str:
    """The BIDS suffix at the end of a name; empty where its last part is none."""
    last = name.rpartition("_")[2]
    return last if last[:1].isupper() and last.isalnum() and "_" in name else ""
