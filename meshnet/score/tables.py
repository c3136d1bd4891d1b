"""Table 1 of the paper and the wider table of all metrics, in Markdown, LaTeX, HTML and CSV."""

from __future__ import annotations

import csv
import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from meshnet.score.figures import stars
from meshnet.score.restarts import Runs
from meshnet.score.summary import Summary


@dataclass(frozen=True)
class Metric:
    """heading: in tables; decimals: printed; better: which values are better; definition: for the report."""

    heading: str
    decimals: int
    better: Literal["high", "low", "near 0"]
    definition: str

    def title(self) -> str:
        """The heading with an arrow towards better values."""
        return f"{self.heading} {'↑' if self.better == 'high' else '↓'}"


METRIC = {
    "dice_macro": Metric("DICE", 3, "high", "mean of the lesion's and the background's Dice: the paper's DICE"),
    "avd": Metric("AVD", 3, "low", "|V_pred - V_true| / V_true"),
    "mcc": Metric("MCC", 3, "high", "Matthews correlation coefficient, -1 to 1"),
    "dice_lesion": Metric("Dice (lesion)", 3, "high", "overlap of the lesion masks, 0 to 1"),
    "hd95_mm": Metric(
        "HD95 [mm]",
        1,
        "low",
        "95th percentile of the distances between the surfaces; the diagonal of the image where one mask is empty",
    ),
    "lesion_f1": Metric("Lesion F1", 3, "high", "F1 over connected components"),
    "volume_error_ml": Metric("|Volume error| [mL]", 1, "near 0", "V_pred - V_true, the best is nearest to 0"),
}

#: The metrics of the paper's Table 1.
OF_THE_PAPER = ("dice_macro", "avd", "mcc")

NOTE = (
    "mean ± s.d. over outer folds, models by decreasing median of the DICE in Figure 1; restarts averaged per subject "
    "first. ↑ higher is better, ↓ lower is better, bold: best of the column. p: Wilcoxon signed-rank against the "
    "reference, Holm over models: * p < 0.05, ** p < 0.01, *** p < 0.001."
)
WIDE_NOTE = "mean ± s.d. over outer folds (s.d. over subjects), with the marks of Table 1."

Table = dict[str, dict[str, Summary]]  # model -> metric -> summary


@dataclass(frozen=True)
class Cell:
    """Text of a cell, and whether it is set in bold."""

    text: str
    bold: bool = False


@dataclass(frozen=True)
class Grid:
    """A table ready to be written: headings and lines of cells. notes: sentences below the table."""

    head: list[str]
    lines: list[list[Cell]]
    notes: list[str]


def table1(table: Table, parameters: Mapping[str, int], runs: Mapping[str, Runs], reference: str) -> Grid:
    """The paper's columns: model, parameters, and for DICE, AVD and MCC the value and its p."""
    head = ["Model", "Parameters"]
    for metric in OF_THE_PAPER:
        head += [METRIC[metric].title(), "p"]
    best = {metric: _best(table, metric) for metric in OF_THE_PAPER}
    lines = []
    for model, row in table.items():
        line = [Cell(_name(model, runs, reference)), Cell(f"{parameters[model]:,}")]
        for metric in OF_THE_PAPER:
            summary = row.get(metric)
            line += [Cell(_value(summary, metric), model in best[metric]), Cell(_p(summary, model == reference))]
        lines.append(line)
    return Grid(head, lines, [NOTE, *_notes(runs)])


def all_metrics(table: Table, parameters: Mapping[str, int], runs: Mapping[str, Runs], reference: str) -> Grid:
    """Every metric with both standard deviations, and the runs and scans behind them."""
    head = ["Model", "Parameters", *(m.title() for m in METRIC.values()), "Runs (collapsed)", "Scans (none predicted)"]
    best = {metric: _best(table, metric) for metric in METRIC}
    lines = []
    for model, row in table.items():
        line = [Cell(_name(model, runs, reference)), Cell(f"{parameters[model]:,}")]
        line += [Cell(_wide_value(row.get(metric), metric), model in best[metric]) for metric in METRIC]
        of = runs[model]
        line += [Cell(f"{of.total} ({of.collapsed})"), Cell(f"{of.scans} ({of.empty})")]
        lines.append(line)
    return Grid(head, lines, [WIDE_NOTE, *_notes(runs)])


def markdown(grid: Grid) -> str:
    """The table in Markdown."""
    lines = [[f"**{_markdown(c.text)}**" if c.bold else _markdown(c.text) for c in line] for line in grid.lines]
    rows = ["| " + " | ".join(_markdown(h) for h in grid.head) + " |", "|" + "---|" * len(grid.head)]
    rows += ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([*rows, "", *(f"{_markdown(note)}\n" for note in grid.notes)])


_LATEX = {
    "±": r"$\pm$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "†": r"$\dagger$", "Δ": r"$\Delta$", "≤": r"$\leq$",
    "<": "$<$", ">": "$>$", "–": "--", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#",
}  # fmt: skip


def latex(grid: Grid) -> str:
    """The table as a LaTeX tabular (booktabs), with its notes as comments."""
    lines = [[rf"\textbf{{{_tex(c.text)}}}" if c.bold else _tex(c.text) for c in line] for line in grid.lines]
    top = [r"\begin{tabular}{lr" + "c" * (len(grid.head) - 2) + "}", r"\toprule"]
    body = [" & ".join(map(_tex, grid.head)) + r" \\", r"\midrule", *(" & ".join(line) + r" \\" for line in lines)]
    notes = [f"% {note}" for note in grid.notes]
    return "\n".join([*top, *body, r"\bottomrule", r"\end{tabular}", *notes, ""])


def html_table(grid: Grid) -> str:
    """The table and its notes as HTML."""
    head = "".join(f"<th>{html.escape(h)}</th>" for h in grid.head)
    body = "".join("<tr>" + "".join(map(_html_cell, line)) + "</tr>" for line in grid.lines)
    notes = "".join(f"<p>{html.escape(note)}</p>" for note in grid.notes)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"


def write_table1_csv(path: Path, table: Table, parameters: Mapping[str, int], runs: Mapping[str, Runs]) -> None:
    """Table 1 with all digits: one line per model."""
    head = ["model", "parameters", "runs", "collapsed"]
    for metric in OF_THE_PAPER:
        head += [f"{metric}_mean", f"{metric}_sd_folds", f"{metric}_p_holm"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for model, row in table.items():
            line: list[str | int | float] = [model, parameters[model], runs[model].total, runs[model].collapsed]
            for metric in OF_THE_PAPER:
                summary = row.get(metric)
                line += [summary.mean, summary.sd_folds, summary.p_holm] if summary else ["", "", ""]
            writer.writerow(line)


def write_all_csv(path: Path, table: Table, parameters: Mapping[str, int]) -> None:
    """Every number of every metric: one line per model and metric."""
    head = ("model", "parameters", "metric", "subjects", "mean", "median", "q1", "q3")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow((*head, "sd_folds", "sd_subjects", "p", "p_holm"))
        for model, row in table.items():
            for metric, s in row.items():
                spread = (s.sd_folds, s.sd_subjects, s.p, s.p_holm)
                writer.writerow([model, parameters[model], metric, s.subjects, s.mean, s.median, *s.quartiles, *spread])


def _best(table: Table, metric: str) -> set[str]:
    """The models whose mean, as printed, is the best of the column."""
    means = {m: round(row[metric].mean, METRIC[metric].decimals) for m, row in table.items() if metric in row}
    means = {model: mean for model, mean in means.items() if math.isfinite(mean)}
    of: dict[str, Callable[[float], float]] = {"high": lambda x: x, "low": lambda x: -x, "near 0": lambda x: -abs(x)}
    good = {model: of[METRIC[metric].better](mean) for model, mean in means.items()}
    return {model for model, value in good.items() if value == max(good.values())}


def _name(model: str, runs: Mapping[str, Runs], reference: str) -> str:
    collapsed = " †" if runs[model].collapsed else ""
    return f"{model} (reference){collapsed}" if model == reference else f"{model}{collapsed}"


def _value(summary: Summary | None, metric: str) -> str:
    if summary is None:
        return "n/a"
    return f"{_number(summary.mean, metric)} ± {_number(summary.sd_folds, metric)}"


def _wide_value(summary: Summary | None, metric: str) -> str:
    if summary is None:
        return "n/a"
    return f"{_value(summary, metric)} ({_number(summary.sd_subjects, metric)}){stars(summary.p_holm)}"


def _number(value: float, metric: str) -> str:
    return f"{value:.{METRIC[metric].decimals}f}" if math.isfinite(value) else "n/a"


def _p(summary: Summary | None, is_reference: bool) -> str:
    if is_reference:
        return "reference"
    if summary is None or math.isnan(summary.p_holm):
        return "n/a"
    p = summary.p_holm
    return f"{'<0.001' if p < 0.001 else f'{p:.3f}'}{' ' if stars(p) else ''}{stars(p)}"


def _notes(runs: Mapping[str, Runs]) -> Sequence[str]:
    """Sentences about collapsed runs and scans without a prediction; none where there were none."""
    collapsed = [f"{model} {of.collapsed} of {of.total}" for model, of in runs.items() if of.collapsed]
    empty = [f"{model} {of.empty} of {of.scans}" for model, of in runs.items() if of.empty]
    notes = []
    if collapsed:
        notes.append(
            "† Runs that collapsed (all background, or a loss that never fell) are in the means: "
            f"{', '.join(collapsed)}."
        )
    if empty:
        notes.append(
            f"Scans in which no voxel was predicted count with the diagonal of the image as HD95: {', '.join(empty)}."
        )
    return notes


def _markdown(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")


def _tex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def _html_cell(cell: Cell) -> str:
    text = html.escape(cell.text)
    return f"<td><b>{text}</b></td>" if cell.bold else f"<td>{text}</td>"
