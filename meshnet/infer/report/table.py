"""The numbers of reports as a table for a spreadsheet: a row per label and per lesion, units in the head."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from meshnet.infer.report.facts import Extent, Report
from meshnet.infer.report.numbers import fixed

COLUMNS = (
    *("scan", "model", "part", "name", "voxels", "volume (mL)", "longest diameter (mm)"),
    *("x, right (mm)", "y, anterior (mm)", "z, superior (mm)", "side", "share of the brain (%)", "mean probability"),
)


def reports_csv(reports: Sequence[Report]) -> str:
    """RFC 4180. part: "all" for a whole label, else the lesion's number. A cell is empty where there is no number."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for report in reports:
        writer.writerows(_rows(report))
    return text.getvalue()


def _rows(report: Report) -> Iterator[list[str]]:
    for label in report.labels:
        yield _row(report, "all", label.name, label, None)
    for lesion in report.lesions:
        yield _row(report, str(lesion.number), lesion.name, lesion, lesion.mean_probability)


def _row(report: Report, part: str, name: str, extent: Extent, mean_probability: float | None) -> list[str]:
    x, y, z = extent.centre_ras_mm or (None, None, None)
    return [
        *(report.made.source.name, report.made.model.id, part, name, str(extent.voxels), fixed(extent.volume_ml, 4)),
        *(_cell(mm, 2) for mm in (extent.longest_diameter_mm, x, y, z)),
        *(extent.side or "", _cell(extent.percent_of_brain, 4), _cell(mean_probability, 4)),
    ]


def _cell(value: float | None, decimals: int) -> str:
    return "" if value is None else fixed(value, decimals)
