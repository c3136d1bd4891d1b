"""The frame of a self-contained HTML file, and its tables: shared by all pages of a report.

`static/src/page/report/document.ts` writes the same text; a test in tests/parity compares whole reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from meshnet.infer.report.numbers import NONE, safe

#: The file may load nothing: pictures are inside it, and its own script runs only if `document` allows it.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

RESEARCH = "For research, not for diagnosis. Check every result against the scan itself."


@dataclass(frozen=True)
class Cell:
    """A cell of a table. value: to sort by, "" for a missing one; None: the text. html: markup, already safe."""

    html: str
    is_text: bool = False
    value: str | None = None


def document(title: str, body: Sequence[str], *, sorts: bool = False, data: str = "") -> str:
    """A whole file. sorts: with the script that sorts tables. data: JSON for programs."""
    policy = f"{_POLICY}; script-src 'unsafe-inline'" if sorts else _POLICY
    embedded = data.replace("<", "\\u003c")
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"<title>{safe(title)}</title>",
            f"<style>\n{_asset('report.css')}</style>",
            "</head>",
            "<body>",
            *body,
            f"<footer>{RESEARCH}</footer>",
            *([f'<script type="application/json" id="facts">{embedded}</script>'] if data else []),
            *([f"<script>\n{_asset('sort.js')}</script>"] if sorts else []),
            "</body>",
            "</html>",
            "",
        ]
    )


def table(head: Sequence[tuple[str, bool]], rows: Sequence[Sequence[Cell]], *, sorts: bool = False) -> str:
    """head: name of each column, and whether it holds text. The first cell of a row is its heading."""
    return "\n".join(
        [
            '<div class="scroll"><table>',
            "<thead><tr>" + "".join(_heading(name, is_text, sorts) for name, is_text in head) + "</tr></thead>",
            "<tbody>",
            *("<tr>" + "".join(_cell(cell, n) for n, cell in enumerate(row)) + "</tr>" for row in rows),
            "</tbody></table></div>",
        ]
    )


def number(text: str) -> Cell:
    """A cell with a number, or a dash, by which the table can be sorted."""
    return Cell(text, value="" if text == NONE else text)


def words(text: str) -> Cell:
    """A cell with text."""
    return Cell(safe(text), is_text=True)


def _heading(name: str, is_text: bool, sorts: bool) -> str:
    kind = ' class="text"' if is_text else ""
    if sorts:
        return f'<th scope="col"{kind} aria-sort="none"><button type="button">{safe(name)}</button></th>'
    return f'<th scope="col"{kind}>{safe(name)}</th>'


def _cell(cell: Cell, place: int) -> str:
    kind = ' class="text"' if cell.is_text else ""
    value = "" if cell.value is None else f' data-value="{cell.value}"'
    return f'<th scope="row"{kind}>{cell.html}</th>' if place == 0 else f"<td{kind}{value}>{cell.html}</td>"


def _asset(name: str) -> str:
    return (files("meshnet.infer.report") / name).read_text(encoding="utf-8")
