"""Write the tables, figures and HTML report of meshnet-evaluate. docs/evaluation.md defines every number."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from meshnet.score.figures import AXIS_NAMES, box_plots, pareto, ranked
from meshnet.score.panels import MODELS, contours
from meshnet.score.restarts import count_runs
from meshnet.score.scores import Score, write_scores
from meshnet.score.summary import Observation, per_subject, summarize
from meshnet.score.tables import (
    METRIC,
    Grid,
    Table,
    all_metrics,
    html_table,
    latex,
    markdown,
    table1,
    write_all_csv,
    write_table1_csv,
)


def write_report(
    scores: Sequence[Score],
    data: Path,
    out: Path,
    *,
    reference: str,
    metric: str = "dice_macro",
    overlay: Sequence[str] = (),
    seed: int = 0,
) -> None:
    """Write `table1.{md,csv,tex}`, `all-metrics.{md,csv,tex}`, `fig1..3.{png,svg}`, `scores.csv`, `report.html` to
    `out`.

    reference: model of the tests, empty for none. metric: of the figures, `dice_macro` (the paper's DICE) or
    `dice_lesion`. overlay: models of Figure 3; empty for the reference and the best of the others, five together. seed:
    of the subjects of Figure 3.
    """
    out.mkdir(parents=True, exist_ok=True)
    write_scores(out / "scores.csv", scores, data)
    table = make_table(scores, reference, metric)
    parameters = {s.model: s.parameters for s in scores}
    runs = count_runs(scores)
    grids = {
        "table1": table1(table, parameters, runs, reference),
        "all-metrics": all_metrics(table, parameters, runs, reference),
    }
    for name, grid in grids.items():
        (out / f"{name}.md").write_text(markdown(grid), encoding="utf-8")
        (out / f"{name}.tex").write_text(latex(grid), encoding="utf-8")
    write_table1_csv(out / "table1.csv", table, parameters, runs)
    write_all_csv(out / "all-metrics.csv", table, parameters)
    values = per_subject(observations(scores, metric))
    of_metric = {model: row[metric] for model, row in table.items()}
    figures = {
        "fig1": (
            f"Figure 1. {AXIS_NAMES[metric]} per subject, by decreasing median; red asterisks: significance against "
            f"the reference",
            box_plots(values, of_metric, reference, metric=metric),
        ),
        "fig2": (
            f"Figure 2. Inverse of the parameter count against the median {AXIS_NAMES[metric]} (bars: interquartile "
            f"range; dashed: Pareto front)",
            pareto(of_metric, parameters, metric=metric),
        ),
        "fig3": (
            "Figure 3. The expert's contour and the models' on the axial slice with most lesion, with the "
            f"{AXIS_NAMES[metric]} in the whole volume",
            contours(scores, data, list(overlay) or _overlaid(table, reference), metric=metric, seed=seed),
        ),
    }
    images = {}
    for name, (caption, figure) in figures.items():
        for ending in ("png", "svg"):
            figure.savefig(out / f"{name}.{ending}", dpi=150)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110)
        images[name] = (caption, base64.b64encode(buffer.getvalue()).decode())
    (out / "report.html").write_text(_html(grids, images, reference), encoding="utf-8")


def observations(scores: Sequence[Score], metric: str) -> list[Observation]:
    """The values of one metric."""
    return [Observation(s.model, s.fold, s.restart, s.subject, s.values[metric]) for s in scores]


def make_table(scores: Sequence[Score], reference: str, ranked_by: str = "dice_macro") -> Table:
    """Summaries by model and metric; models in the order of Figure 1, by decreasing median of `ranked_by`."""
    table: Table = {}
    for metric in METRIC:
        for summary in summarize(observations(scores, metric), reference):
            table.setdefault(summary.model, {})[metric] = summary
    return {model: table[model] for model in ranked({m: row[ranked_by] for m, row in table.items()})}


def _overlaid(table: Table, reference: str) -> list[str]:
    """The models of Figure 3: the reference first, then the best of the others."""
    others = [model for model in table if model != reference]
    return [*([reference] if reference in table else []), *others][:MODELS]


def _html(grids: Mapping[str, Grid], images: Mapping[str, tuple[str, str]], reference: str) -> str:
    figures = "".join(
        f'<figure><img alt="{html.escape(caption)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, data in images.values()
    )
    definitions = "".join(
        f"<li><b>{html.escape(m.heading)}</b>: {html.escape(m.definition)}</li>" for m in METRIC.values()
    )
    against = f"Reference model: {html.escape(reference)}." if reference else "No reference model: no tests."
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Stroke lesion segmentation: evaluation</title>
<style>
body{{font:15px/1.5 sans-serif;max-width:75em;margin:2em auto;padding:0 1em}} table{{border-collapse:collapse}}
td,th{{padding:.3em .6em;border-bottom:1px solid #ccc;text-align:left}} img{{max-width:100%}} figure{{margin:2em 0}}
</style>
<h1>Stroke lesion segmentation: evaluation</h1>
<p>{against}</p>
<h2>Table 1</h2>{html_table(grids["table1"])}
{figures}
<h2>All metrics</h2>{html_table(grids["all-metrics"])}
<ul>{definitions}</ul></html>
"""
