"""Pages of a derived data set: one per subject, and for the group a table and a page of all pictures."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from meshnet.infer.sidecar import Sidecar, read_sidecar
from meshnet.scan.replacing import write_text
from meshnet.scan.scan_stream import ScanError

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1rem auto; max-width: 70rem; padding: 0 1rem; }
img { background: #000; max-width: 100%; } table { border-collapse: collapse; }
td, th { border-bottom: 1px solid #ccc; padding: .2rem .6rem; text-align: right; } th:first-child, td:first-child { text-align: left; }
section { border-top: 2px solid #888; margin-top: 1rem; } .note { color: #a40; }
"""  # noqa: E501


@dataclass(frozen=True)
class Result:
    """One result in a derived data set."""

    path: Path  #: of the sidecar, relative to the data set
    subject: str
    session: str
    sidecar: Sidecar

    @property
    def mosaic(self) -> str:
        """Path of the picture, relative to the data set."""
        return self._figure("mosaic.png")

    @property
    def report(self) -> str:
        """Path of the report, relative to the data set."""
        return self._figure("report.html")

    def _figure(self, ending: str) -> str:
        name = self.path.name.removesuffix("_dseg.json")
        return f"sub-{self.subject}/figures/{name}_{ending}"


def find_results(out: Path, subjects: Sequence[str] = ()) -> list[Result]:
    """The results in a derived data set; subjects: labels without "sub-", empty: all."""
    found = []
    for path in sorted(out.glob("sub-*/**/anat/*_dseg.json")):
        parts = path.relative_to(out).parts
        subject = parts[0].removeprefix("sub-")
        session = parts[1].removeprefix("ses-") if parts[1].startswith("ses-") else ""
        sidecar = read_sidecar(path)
        if sidecar is not None and (not subjects or subject in subjects):
            found.append(Result(path.relative_to(out), subject, session, sidecar))
    return found


def write_subject_reports(out: Path, subjects: Sequence[str]) -> None:
    """Write `sub-<label>.html` of each of these subjects that has a result."""
    results = find_results(out, subjects)
    for subject in dict.fromkeys(result.subject for result in results):
        own = [result for result in results if result.subject == subject]
        write_text(out / f"sub-{subject}.html", _page(f"sub-{subject}", own))


def write_group_report(out: Path) -> tuple[Path, Path]:
    """Write `group_volumes.tsv` (and the .json of its columns) and `group.html`; returns the table and the page.

    Raises ScanError if there is no result.
    """
    results = find_results(out)
    if not results:
        raise ScanError(f"{out}: no results; run the participant level first")
    table, page = out / "group_volumes.tsv", out / "group.html"
    write_text(table, volumes_table(results))
    write_text(out / "group_volumes.json", json.dumps(_columns(results), indent=2) + "\n")
    write_text(page, _page(f"{len(results)} scans of {len({r.subject for r in results})} subjects", results))
    return table, page


def volumes_table(results: Sequence[Result]) -> str:
    """One row per scan: participant_id (joins with participants.tsv), session_id, source, mL per label, note codes."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    names = _label_names(results)
    writer.writerow(["participant_id", "session_id", "source", *(f"{name}_ml" for name in names), "notes"])
    for result in results:
        ml = {volume.name: f"{volume.volume_ml:.4f}" for volume in result.sidecar.volumes}
        codes = ";".join(note.code for note in result.sidecar.notes) or "n/a"
        session = f"ses-{result.session}" if result.session else "n/a"
        row = [f"sub-{result.subject}", session, result.sidecar.source.name]
        writer.writerow([*row, *(ml.get(name, "n/a") for name in names), codes])
    return text.getvalue()


def _label_names(results: Sequence[Result]) -> list[str]:
    return list(dict.fromkeys(v.name for r in results for v in r.sidecar.volumes if v.index > 0))


def _columns(results: Sequence[Result]) -> dict[str, dict[str, str]]:
    volumes = {f"{name}_ml": {"Description": f"volume of {name}", "Units": "mL"} for name in _label_names(results)}
    return {
        "participant_id": {"Description": "as in participants.tsv"},
        "session_id": {"Description": "n/a for a data set without sessions"},
        "source": {"Description": "file name of the scan"},
        **volumes,
        "notes": {"Description": "codes of notes, joined by semicolons"},
    }


def _page(title: str, results: Sequence[Result]) -> str:
    """A page with a table of volumes and a picture per scan."""
    names = _label_names(results)
    head = "".join(f"<th>{escape(name)}, mL</th>" for name in names)
    rows, sections = [], []
    for number, result in enumerate(results):
        sidecar = result.sidecar
        ml = {volume.name: f"{volume.volume_ml:.2f}" for volume in sidecar.volumes}
        cells = "".join(f"<td>{ml.get(name, '')}</td>" for name in names)
        source = escape(sidecar.source.name)
        rows.append(f'<tr><td><a href="#scan{number}">{source}</a></td>{cells}<td>{len(sidecar.notes) or ""}</td></tr>')
        notes = "".join(f'<p class="note">{escape(note.text)} [{note.code}]</p>' for note in sidecar.notes)
        report = (
            f'<p><a href="{escape(result.report)}">Report: volume, diameter, place and slices of each lesion</a></p>'
        )
        sections.append(
            f'<section id="scan{number}"><h2>{source}</h2>{notes}{report}<img src="{escape(result.mosaic)}" '
            f'alt="Slices of {source} with outlined labels" loading="lazy"></section>'
        )
    made = results[0].sidecar
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n"
        f"<p>MeshNet {escape(made.software.version)}, model {escape(made.model.id)}. For research, not for diagnosis. "
        f"L and R mark the patient's sides.</p>\n"
        f"<table><thead><tr><th>scan</th>{head}<th>notes</th></tr></thead><tbody>\n"
        + "\n".join(rows)
        + "\n</tbody></table>\n"
        + "\n".join(sections)
        + "\n</body></html>\n"
    )
