"""SNOMED CT codes of a model's labels, for DICOM-SEG.

The table is segment_codes.json, which the page reads too (static/src/volume/dicom/segment-codes.ts has the same rules).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from meshnet.model.spec import Label, ModelSpec

TABLE = Path(__file__).with_name("segment_codes.json")

#: SNOMED CT code value and meaning, as in DICOM PS3.16, CID 7150 and 7151.
Code = tuple[str, str]


@dataclass(frozen=True)
class SegmentCodes:
    """The meaning of a segment in codes of SNOMED CT."""

    category: Code  #: Segmented Property Category
    type: Code  #: Segmented Property Type
    region: Code | None  #: Anatomic Region; None where the type is a structure itself


def codes_of(label: Label, spec: ModelSpec) -> SegmentCodes:
    """The codes of a label by its name and the model's task; those of tissue where the table has no entry.

    The name is compared in lower case, in words of letters and digits, without words for the side.
    """
    table = _table()
    words = [word for word in re.findall(r"[a-z0-9]+", label.name.lower()) if word not in table["ignoredWords"]]
    name, task = " ".join(words), spec.task.lower()
    row = next((row for row in table["labels"] if _fits(row, name, task)), table["fallback"])
    return SegmentCodes(
        category=_code(table["categories"][row["category"]]),
        type=_code(row["type"]),
        region=_code(table["brain"]) if row.get("inBrain") else None,
    )


def _fits(row: dict[str, Any], name: str, task: str) -> bool:
    if row.get("task", "") not in task:
        return False
    return name in row["names"] or ("prefix" in row and name.startswith(row["prefix"]))


def _code(pair: list[str]) -> Code:
    return pair[0], pair[1]


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
