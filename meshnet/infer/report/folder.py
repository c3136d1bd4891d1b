"""The folder of `meshnet-predict --report`: a page per scan, a table, and for several scans a page of all."""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from meshnet.infer.report.facts import Report
from meshnet.infer.report.pictures import Pictures
from meshnet.infer.report.scan_page import scan_page
from meshnet.infer.report.summary_page import Entry, summary_page
from meshnet.infer.report.table import reports_csv
from meshnet.scan.file_errors import check_folder
from meshnet.scan.replacing import write_text
from meshnet.scan.scan_stream import ScanError
from meshnet.version import __version__

#: Name of the page of all scans, and of the table.
INDEX, TABLE = "index.html", "report.csv"


def check_pillow() -> None:
    """Raise ScanError if Pillow, which encodes the pictures, is not installed."""
    if find_spec("PIL") is None:
        raise ScanError("--report needs Pillow; pip install 'meshnet[report]'")


class ReportFolder:
    """Collects the reports of a run. A page is written when its scan is done, the rest by `finish`."""

    def __init__(self, folder: Path, *, scans: int) -> None:
        """scans: in the run; one alone gets no page of all. Raises ScanError if the folder can't be written in."""
        self._folder = folder
        self._has_index = scans > 1
        self._entries: list[Entry] = []
        self._names = {INDEX}
        check_folder(folder, "reports", "choose another folder with --report")
        folder.mkdir(parents=True, exist_ok=True)  # `finish` writes a table in any case

    def add(self, stem: str, scan: str, report: Report, pictures: Pictures) -> Path:
        """Write the page of one scan; returns its path. stem: its name without .html, numbered if it is taken."""
        name, number = f"{stem}.html", 2
        while name in self._names:
            name, number = f"{stem}_{number}.html", number + 1
        self._names.add(name)
        page = self._folder / name
        write_text(page, scan_page(report, pictures, summary=INDEX if self._has_index else ""))
        self._entries.append(Entry(scan=scan, href=quote(name, errors="backslashreplace"), report=report))
        return page

    def add_failure(self, scan: Path, reason: str) -> None:
        """A scan without a report. reason: a sentence; the path at its beginning is left out."""
        self._entries.append(Entry(scan=scan.name, reason=reason.removeprefix(f"{scan}: ")))

    def finish(self) -> None:
        """Write the table, and the page of all scans where there are several."""
        reports = [entry.report for entry in self._entries if entry.report is not None]
        write_text(self._folder / TABLE, reports_csv(reports))
        if self._has_index:
            created = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            write_text(self._folder / INDEX, summary_page(self._entries, version=__version__, created=created))
