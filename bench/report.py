"""The report of a run as Markdown: machine, table, targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.cell import Cell
from bench.targets import Line

HEAD = (
    "runtime",
    "model",
    "size",
    "time, s",
    "first run, s",
    "GFLOP/s",
    "engine memory, MB",
    "largest piece, MB",
    "processes' peak, MB",
    "equal labels",
    "note",
)

LEGEND = """\
`time` is the fastest run. `¹`: the only run, compiling included. `~`: stopped at the cap and extrapolated by
multiply-adds from the layers that finished. `≈`: not started, scaled by multiply-adds from the cell that the note
names. GFLOP/s count two operations per multiply-add of the direct convolution. `engine memory` is the most that GPU
buffers and textures, or the WebAssembly memory, occupied at once; `largest piece` is the largest single one of them;
`processes' peak` is the sampled sum of the proportional set sizes of the browser's processes (or of the one process).
"""


def markdown(
    machine: Mapping[str, Any],
    settings: Mapping[str, Any],
    cells: Sequence[Cell],
    titles: Mapping[str, str],
    targets: Sequence[Line],
) -> str:
    """The whole report."""
    rows = [table_row(cell, titles) for cell in cells]
    return "\n".join(
        [
            "# Benchmark",
            "",
            *_machine_lines(machine),
            "",
            "Settings: " + ", ".join(f"{name} {_plain(value)}" for name, value in settings.items()) + ".",
            "",
            _row(HEAD),
            _row(["---"] * 3 + ["---:"] * 7 + ["---"]),
            *(_row(row) for row in rows),
            "",
            LEGEND,
            "## Targets",
            "",
            *target_lines(targets),
            "",
        ]
    )


def table_row(cell: Cell, titles: Mapping[str, str]) -> list[str]:
    """The cells of one row, as text."""
    mark = {"extrapolated": "~", "predicted": "≈"}.get(cell.status, "")
    time = "–" if cell.seconds is None else f"{mark}{_seconds(cell.seconds)}"
    if cell.status == "measured" and not cell.warm:
        time += "¹"
    note = f"{cell.status}: {cell.note}" if cell.status in ("failed", "not run") else cell.note
    return [
        titles.get(cell.runtime, cell.runtime),
        cell.model,
        f"{cell.size}³",
        time,
        "–" if cell.first_s is None else _seconds(cell.first_s),
        "–" if cell.gflops is None else f"{cell.gflops:.3g}",
        _megabytes(cell.allocated_bytes),
        _megabytes(cell.largest_bytes),
        _megabytes(cell.peak_bytes),
        "–" if cell.agreement is None else _share(cell.agreement),
        note.replace("|", "\\|").replace("\n", " "),
    ]


def target_lines(targets: Sequence[Line]) -> list[str]:
    """A Markdown table of the targets and the values reached."""
    lines = [_row(["target", "where", "wanted", "got", "", "note"]), _row(["---", "---", "---", "---:", "---", "---"])]
    for line in targets:
        got = "–" if line.value is None else _share(line.value) if "labels" in line.text else f"{line.value:.3g}"
        lines.append(_row([line.text, line.where, line.wanted or "yes", got, line.outcome, line.note]))
    return lines


def _machine_lines(machine: Mapping[str, Any]) -> list[str]:
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    warning = "" if machine["idle"] else " **The machine was not idle: don't trust the figures; the ratios are rough.**"
    return [
        f"{machine['date']}, commit {machine['commit']}. {machine['cpu']}, {machine['cores']} cores, "
        f"{machine['memory_gib']} GiB, {machine['system']}; before the start {100 * machine['busy_before']:.0f} % of "
        f"the CPU time was in use and the load was {machine['load_before']}.{warning}",
        "",
        f"Versions: {versions}.",
    ]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(value: object) -> str:
    if isinstance(value, list | tuple):
        return "/".join(map(str, value)) or "none"
    return str(value)


def _seconds(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _megabytes(value: int | None) -> str:
    return "–" if value is None else f"{value / 1e6:.0f}"


def _share(value: float) -> str:
    """A percentage that shows one wrong voxel in a million and never rounds up to 100."""
    return "100 %" if value == 1 else f"{min(100 * value, 99.9999):.4f} %"
