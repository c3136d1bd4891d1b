"""The page of all scans: a table that can be sorted, a plot of volumes, a link to each report.

`static/src/page/report/summary-page.ts` writes the same text.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from meshnet.infer.report.document import RESEARCH, Cell, document, number, table, words
from meshnet.infer.report.facts import Report
from meshnet.infer.report.numbers import NONE, fixed, fixed_or_none, safe
from meshnet.infer.report.plots import volume_bars
from meshnet.infer.report.table import reports_csv


@dataclass(frozen=True)
class Entry:
    """One scan of the summary: its report, or why there is none."""

    scan: str  #: name of the scan
    href: str = ""  #: of its page
    report: Report | None = None
    reason: str = ""  #: a sentence, if there is no report


def summary_page(entries: Sequence[Entry], *, version: str, created: str) -> str:
    """The file's text. version: of MeshNet; created: ISO 8601."""
    reports = [entry.report for entry in entries if entry.report is not None]
    failed = len(entries) - len(reports)
    without = f", {failed} without a result" if failed else ""
    # The brain's tissue stands on each scan's own page.
    names = list(dict.fromkeys(label.name for r in reports for label in r.labels if label.kind != "context"))
    content = base64.b64encode(reports_csv(reports).encode()).decode()
    body = [
        f"<h1>Report on {len(entries)} scans</h1>",
        f'<p class="soft">MeshNet {safe(version)}, {safe(created)}{without}</p>',
        f'<p class="research">{RESEARCH}</p>',
        "<h2>Scans</h2>",
        '<p class="soft screen">Press a heading to sort by it, a scan’s name for its report.</p>',
        _scan_table(entries, names),
        f'<p><a download="report.csv" href="data:text/csv;base64,{content}">All numbers of all scans as CSV</a></p>',
        *_plot(entries, names),
    ]
    return document(f"Report on {len(entries)} scans", body, sorts=True)


def _scan_table(entries: Sequence[Entry], names: Sequence[str]) -> str:
    has_lesions = any(entry.report is not None and entry.report.lesions for entry in entries)
    has_brain = any(entry.report is not None and entry.report.brain is not None for entry in entries)
    head = [("Scan", True), ("Model", True), *((f"{name}, mL", False) for name in names)]
    head += [("Lesions", False), ("Longest diameter, mm", False)] if has_lesions else []
    head += [("Brain, mL", False), ("Of the brain, %", False)] if has_brain else []
    head += [("Notes", True)]
    rows = []
    for entry in entries:
        cells = [_scan_cell(entry), *_volume_cells(entry, names)]
        cells += _lesion_cells(entry) if has_lesions else []
        cells += _brain_cells(entry) if has_brain else []
        rows.append([*cells, _notes_cell(entry)])
    return table(head, rows, sorts=True)


def _scan_cell(entry: Entry) -> Cell:
    name = safe(entry.scan)
    return Cell(f'<a href="{safe(entry.href)}">{name}</a>' if entry.report is not None else name, is_text=True)


def _volume_cells(entry: Entry, names: Sequence[str]) -> list[Cell]:
    if entry.report is None:
        return [words(NONE), *(number(NONE) for _ in names)]
    ml = {label.name: label.volume_ml for label in entry.report.labels}
    return [words(entry.report.made.model.name), *(number(fixed_or_none(ml.get(name), 2)) for name in names)]


def _lesion_cells(entry: Entry) -> list[Cell]:
    if entry.report is None:
        return [number(NONE), number(NONE)]
    longest = max((lesion.longest_diameter_mm or 0 for lesion in entry.report.lesions), default=None)
    return [number(str(len(entry.report.lesions))), number(fixed_or_none(longest, 1))]


def _brain_cells(entry: Entry) -> list[Cell]:
    brain = None if entry.report is None else entry.report.brain
    if brain is None:
        return [number(NONE), number(NONE)]
    return [number(fixed(brain.brain_ml, 0)), number(fixed(brain.lesion_percent, 2))]


def _notes_cell(entry: Entry) -> Cell:
    if entry.report is None:
        return Cell(f'<span class="failed">{safe(entry.reason)}</span>', is_text=True)
    edited = ["edited"] if entry.report.made.edits else []
    return words(", ".join([*edited, *(note.code for note in entry.report.made.notes)]))


def _plot(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """Of the first label."""
    if not names:
        return []
    bars = [
        (entry.scan, label.volume_ml)
        for entry in entries
        if entry.report is not None
        for label in entry.report.labels
        if label.name == names[0]
    ]
    return ["<h2>Volumes</h2>", volume_bars(names[0], bars)]
