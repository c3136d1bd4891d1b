"""Write the tables, figures and HTML report of meshnet-evaluate. docs/training.md defines every number."""

from __future__ import annotations

import base64
import csv
import html
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from meshnet.score.figures import box_plots, contours, pareto
from meshnet.score.scores import METRICS, Score, write_scores
from meshnet.score.summary import Observation, Summary, per_subject, summarize

#: Metric -> (heading, decimals, definition).
_HEADINGS = {
    "dice_lesion": ("Dice (lesion)", 3, "overlap of the lesion masks, 0 to 1"),
    "dice_macro": ("DICE (macro)", 3, "mean of the lesion's and the background's Dice: the paper's DICE"),
    "avd": ("AVD", 3, "|V_pred - V_true| / V_true"),
    "mcc": ("MCC", 3, "Matthews correlation coefficient, -1 to 1"),
    "hd95_mm": ("HD95 [mm]", 1, "95th percentile of the distances between the surfaces"),
    "lesion_f1": ("Lesion F1", 3, "F1 over connected components"),
    "volume_error_ml": ("Volume error [mL]", 1, "V_pred - V_true"),
}

Table = dict[str, dict[str, Summary]]  # model -> metric -> summary


def write_report(scores: Sequence[Score], data: Path, out: Path, *, reference: str) -> None:
    """Write `table1.{md,csv,tex}`, `fig1..3.{png,svg}`, `scores.csv` and `report.html` to `out`."""
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out / "scores.csv", scores, data)
    table = make_table(scores, reference)
    parameters = {s.model: s.parameters for s in scores}
    (out / "table1.md").write_text(markdown(table, parameters), encoding="utf-8")
    (out / "table1.tex").write_text(latex(table, parameters), encoding="utf-8")
    _write_csv(out / "table1.csv", table, parameters)
    dice = per_subject(observations(scores, "dice_lesion"))
    of_dice = {model: row["dice_lesion"] for model, row in table.items()}
    figures = {
        "fig1": (
            "Lesion Dice per subject, with significance against the reference",
            box_plots(dice, of_dice, reference),
        ),
        "fig2": (
            "Inverse of the parameter count against median lesion Dice (bars: interquartile range)",
            pareto(of_dice, parameters),
        ),
        "fig3": (
            "Expert's contour (green) and the models' (red) on the slice with most lesion",
            contours(scores, data),
        ),
    }
    for name, (_, figure) in figures.items():
        for ending in ("png", "svg"):
            figure.savefig(out / f"{name}.{ending}", dpi=150, bbox_inches="tight")
    images = {}
    for name, (caption, figure) in figures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
        images[name] = (caption, base64.b64encode(buffer.getvalue()).decode())
    (out / "report.html").write_text(_html(table, parameters, images, reference), encoding="utf-8")


def observations(scores: Sequence[Score], metric: str) -> list[Observation]:
    """The values of one metric."""
    return [Observation(s.model, s.fold, s.restart, s.subject, s.values[metric]) for s in scores]


def make_table(scores: Sequence[Score], reference: str) -> Table:
    """Summaries by model and metric; models in the order of decreasing mean lesion Dice."""
    table: Table = {}
    for metric in METRICS:
        for summary in summarize(observations(scores, metric), reference):
            table.setdefault(summary.model, {})[metric] = summary
    return dict(sorted(table.items(), key=lambda entry: -entry[1]["dice_lesion"].mean))


def markdown(table: Table, parameters: Mapping[str, int]) -> str:
    """Table 1 in Markdown: mean ± s.d. over outer folds (s.d. over subjects), asterisks for p after Holm."""
    head = ["Model", "Parameters", *(_HEADINGS[m][0] for m in METRICS)]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for model, row in table.items():
        cells = [model, f"{parameters[model]:,}", *(_cell(row.get(m), m) for m in METRICS)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _NOTE, ""])


_NOTE = (
    "mean ± s.d. over outer folds (s.d. over subjects); restarts averaged per subject first. "
    "Wilcoxon signed-rank against the reference, Holm over models: * p < 0.05, ** p < 0.01, *** p < 0.001."
)


def latex(table: Table, parameters: Mapping[str, int]) -> str:
    """Table 1 as a LaTeX tabular (booktabs)."""
    head = " & ".join(["Model", "Parameters", *(_HEADINGS[m][0] for m in METRICS)])
    lines = [r"\begin{tabular}{lr" + "c" * len(METRICS) + "}", r"\toprule", head + r" \\", r"\midrule"]
    for model, row in table.items():
        cells = [model, f"{parameters[model]:,}", *(_cell(row.get(m), m).replace("±", r"$\pm$") for m in METRICS)]
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", "% " + _NOTE.replace("±", "+-"), ""])


def _cell(summary: Summary | None, metric: str) -> str:
    if summary is None:
        return "n/a"
    decimals = _HEADINGS[metric][1]
    mean, folds, subjects = (
        "n/a" if math.isnan(v) else f"{v:.{decimals}f}" for v in (summary.mean, summary.sd_folds, summary.sd_subjects)
    )
    return f"{mean} ± {folds} ({subjects}){stars(summary.p_holm)}"


def stars(p: float) -> str:
    """'***' for p < 0.001, '**' for p < 0.01, '*' for p < 0.05, else '' (also for NaN)."""
    return "" if math.isnan(p) else "*" * sum(p < limit for limit in (0.05, 0.01, 0.001))


def _write_csv(path: Path, table: Table, parameters: Mapping[str, int]) -> None:
    head = ("model", "parameters", "metric", "subjects", "mean", "median", "q1", "q3")
    columns = (*head, "sd_folds", "sd_subjects", "p", "p_holm")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for model, row in table.items():
            for metric, s in row.items():
                spread = (s.sd_folds, s.sd_subjects, s.p, s.p_holm)
                writer.writerow([model, parameters[model], metric, s.subjects, s.mean, s.median, *s.quartiles, *spread])


def _html(table: Table, parameters: Mapping[str, int], images: Mapping[str, tuple[str, str]], reference: str) -> str:
    head = "".join(f"<th>{html.escape(h)}</th>" for h in ["Model", "Parameters", *(_HEADINGS[m][0] for m in METRICS)])
    lines = [
        [model, f"{parameters[model]:,}", *(_cell(row.get(m), m) for m in METRICS)] for model, row in table.items()
    ]
    body = "".join("<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in line) + "</tr>" for line in lines)
    figures = "".join(
        f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, data in images.values()
    )
    definitions = "".join(f"<li><b>{html.escape(h)}</b>: {html.escape(t)}</li>" for h, _, t in _HEADINGS.values())
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Stroke lesion segmentation: evaluation</title>
<style>
body{{font:15px/1.5 sans-serif;max-width:75em;margin:2em auto;padding:0 1em}} table{{border-collapse:collapse}}
td,th{{padding:.3em .6em;border-bottom:1px solid #ccc;text-align:left}} img{{max-width:100%}} figure{{margin:2em 0}}
</style>
<h1>Stroke lesion segmentation: evaluation</h1>
<p>Reference model {html.escape(reference)}{"" if reference in table else " (not among them: no tests)"}.</p>
<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>
<p>{html.escape(_NOTE)}</p><ul>{definitions}</ul>{figures}</html>
"""
