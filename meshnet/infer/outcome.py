"""The output of `meshnet-predict` for each scan: lines of text or of JSON on standard output, and rows of a table."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from meshnet.infer.brain_volume import BrainVolume, brain_volume, percent_of
from meshnet.model.spec import Label
from meshnet.scan.file_errors import open_table
from meshnet.scan.notes import Note

#: percent_of_brain is empty for a model without a lesion and context.
CSV_COLUMNS = ("scan", "model", "label", "name", "voxels", "volume_ml", "output", "notes", "percent_of_brain")


@dataclass(frozen=True)
class Outcome:
    """One scan's result: its volumes, or its error."""

    scan: Path
    model: str
    output: Path
    volumes: Sequence[tuple[Label, int, float]] = ()  #: `(label, voxels, volume_ml)`
    notes: Sequence[Note] = ()
    error: str | None = None
    from_before: bool = False  #: an earlier run wrote the result
    probability: Path | None = None  #: the probability map, if one was saved
    dicom_seg: Path | None = None  #: the DICOM-SEG file, if one was saved


class Reporter:
    """Where outcomes go. `bar` is the progress bar that lines have to be printed around."""

    def __init__(self, stack: ExitStack, bar: Any, *, table: Path | None, as_json: bool) -> None:
        """Opens the table for the lifetime of `stack`. Raises ScanError if it can't be written."""
        self._bar = bar
        self._as_json = as_json
        self._table = stack.enter_context(open_table(table, CSV_COLUMNS)) if table else None

    def report(self, outcome: Outcome) -> None:
        """Print an outcome and add it to the table. Raises ScanError if the table can't be written."""
        if outcome.error is not None:
            self._bar.write(f"error: {outcome.error}", file=sys.stderr)
        if self._as_json:
            say(json.dumps(_as_json(outcome)))
        elif outcome.error is None:
            say("\n".join(_lines(outcome)))
        if self._table is not None and outcome.error is None:
            # in one call, so that an interrupted scan has all its rows or none
            self._table.writerows(_rows(outcome))


def say(text: str) -> None:
    """Print on standard output, around a progress bar, at once."""
    tqdm.write(text)
    sys.stdout.flush()


def _lines(outcome: Outcome) -> list[str]:
    before = " (from an earlier run)" if outcome.from_before else ""
    return [
        f"{outcome.scan} -> {outcome.output}{before}",
        *(f"  note: {note.text} [{note.code}]" for note in outcome.notes),
        *(f"  {x.index:3d}  {x.name:<32s} {ml:10.2f} mL  {voxels:10d} voxels" for x, voxels, ml in outcome.volumes),
        *([] if (brain := brain_volume(outcome.volumes)) is None else [_brain_line(brain)]),
    ]


def _brain_line(brain: BrainVolume) -> str:
    return (
        f"       {'brain (tissue, fluid and lesion)':<32s} {brain.brain_ml:10.2f} mL  {brain.brain_voxels:10d} voxels; "
        f"the lesion is {brain.lesion_percent:.2f} % of it"
    )


def _rows(outcome: Outcome) -> list[tuple[object, ...]]:
    """One row per label; for a lesion with context one more, the brain's, which has no label number."""
    codes = ";".join(note.code for note in outcome.notes)
    brain = brain_volume(outcome.volumes)
    found: list[tuple[object, str, int, float, bool]] = [
        (label.index, label.name, voxels, ml, label.role is not None) for label, voxels, ml in outcome.volumes
    ]
    if brain is not None:
        found.append(("", "brain", brain.brain_voxels, brain.brain_ml, True))
    rows: list[tuple[object, ...]] = []
    for index, name, voxels, ml, in_brain in found:
        percent = f"{percent_of(ml, brain):.4f}" if brain is not None and in_brain else ""
        rows.append((outcome.scan, outcome.model, index, name, voxels, f"{ml:.4f}", outcome.output, codes, percent))
    return rows


def _as_json(outcome: Outcome) -> dict[str, Any]:
    brain = brain_volume(outcome.volumes)
    return {
        "scan": str(outcome.scan),
        "model": outcome.model,
        "output": None if outcome.error is not None else str(outcome.output),
        "volumes": [
            {"index": label.index, "name": label.name, "voxels": voxels, "volume_ml": round(ml, 4)}
            for label, voxels, ml in outcome.volumes
        ],
        **({"brain": _brain_json(brain)} if brain is not None else {}),
        "notes": [{"code": note.code, "text": note.text} for note in outcome.notes],
        "error": outcome.error,
        **({"probability": str(outcome.probability)} if outcome.probability is not None else {}),
        **({"dicom_seg": str(outcome.dicom_seg)} if outcome.dicom_seg is not None else {}),
    }


def _brain_json(brain: BrainVolume) -> dict[str, float]:
    return {
        "lesion_ml": round(brain.lesion_ml, 4),
        "brain_ml": round(brain.brain_ml, 4),
        "lesion_percent": round(brain.lesion_percent, 4),
    }
