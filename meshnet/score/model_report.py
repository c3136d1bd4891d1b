"""Write the report of finished models: one HTML file, tables in CSV, LaTeX and Markdown, figures."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from meshnet.score.data_set import ReferenceScan
from meshnet.score.model_figures import (
    bland_altman,
    dice_by_model,
    dice_by_volume,
    marked_without_lesion,
    sensitivity_by_size,
)
from meshnet.score.model_summary import (
    MEASURES,
    FreeSummary,
    ModelSummary,
    strata,
    summarize_lesion_free,
    summarize_models,
)
from meshnet.score.model_tables import (
    difference_table,
    lesion_free_by_table,
    lesion_free_table,
    overlap_table,
    size_table,
    stratum_table,
    volume_table,
    write_model_csv,
    write_scan_csv,
)
from meshnet.score.scan_scores import ScanScore
from meshnet.score.styles import styles
from meshnet.score.tables import Grid, html_table, latex, markdown
from meshnet.version import __version__


@dataclass(frozen=True)
class About:
    """Facts that the report states.

    data: name of the data set; models: a sentence for each model; brain: source of the brain masks, empty without one;
    left_out: sentences about scans that were not scored; centre: what the table by centre is called.
    """

    data: str
    models: Mapping[str, str]
    reference_model: str
    brain: str
    left_out: Sequence[str]
    centre: str = "centre"


def write_model_report(
    scores: Sequence[ScanScore], scans: Mapping[str, ReferenceScan], out: Path, about: About
) -> dict[str, Grid]:
    """Write `report.html`, `NAME.{csv,tex,md}` of each table, `scans.csv`, `models.csv` and the figures to `out`.

    Returns the tables by name. Raises ValueError without scores.
    """
    if not scores:
        raise ValueError("no scan was scored, so there is nothing to report")
    out.mkdir(parents=True, exist_ok=True)
    models = summarize_models(scores, about.reference_model)
    free = summarize_lesion_free(scores)
    grids = _tables(scores, scans, models, free, about)
    for name, grid in grids.items():
        (out / f"{name}.md").write_text(markdown(grid), encoding="utf-8")
        (out / f"{name}.tex").write_text(latex(grid), encoding="utf-8")
    write_scan_csv(out / "scans.csv", scores, scans)
    write_model_csv(out / "models.csv", models)
    drawn = _figures(scores, models, free, about.reference_model)
    images = {name: (caption, _saved(draw(), out / name)) for name, (caption, draw) in drawn.items()}
    page = _html(grids, images, _facts(scores, scans, about), about)
    (out / "report.html").write_text(page, encoding="utf-8")
    return grids


def _tables(
    scores: Sequence[ScanScore],
    scans: Mapping[str, ReferenceScan],
    models: Mapping[str, ModelSummary],
    free: Mapping[str, FreeSummary],
    about: About,
) -> dict[str, Grid]:
    """The tables by name: all scans, then the strata of scans with a lesion, then those of scans without."""
    grids: dict[str, Grid] = {}
    if models:
        grids["overlap"] = overlap_table(models, about.reference_model)
        grids["volume"] = volume_table(models, about.reference_model)
        if about.reference_model and len(models) > 1:
            grids["tests"] = difference_table(models, about.reference_model)
        grids["lesion-size"] = size_table(models)
    if free:
        grids["lesion-free"] = lesion_free_table(free)
    lesion = [s for s in scores if s.reference_ml > 0]
    without = [s for s in scores if s.reference_ml == 0]
    for kind, groups in strata(lesion, scans, centre=about.centre).items():
        grids[f"by-{_slug(kind)}"] = stratum_table(groups, kind, list(models))
    for kind, groups in strata(without, scans, centre=about.centre).items():
        by_group = {name: summarize_lesion_free(group) for name, group in groups.items()}
        grids[f"by-{_slug(kind)}-lesion-free"] = lesion_free_by_table(by_group, kind)
    return grids


def _figures(
    scores: Sequence[ScanScore],
    models: Mapping[str, ModelSummary],
    free: Mapping[str, FreeSummary],
    reference_model: str,
) -> dict[str, tuple[str, Callable[[], Figure]]]:
    """Caption of each figure by its name, and the function that draws it."""
    lesion = [s for s in scores if s.reference_ml > 0]
    without = [s for s in scores if s.reference_ml == 0]
    looks = styles([*models, *(model for model in free if model not in models)])
    drawn: dict[str, tuple[str, Callable[[], Figure]]] = {}
    if models:
        drawn = {
            "dice": (
                "Lesion Dice per person, models by decreasing median. Box: quartiles and median; red asterisks: p "
                "against the reference model after Holm's correction.",
                lambda: dice_by_model(models, lesion, looks, reference_model),
            ),
            "dice-by-volume": (
                "Lesion Dice of each scan against the reference's lesion volume. Black: medians of five groups.",
                lambda: dice_by_volume(list(models), lesion, looks),
            ),
            "bland-altman": (
                "Bland-Altman: error of the volume against the mean of the two volumes, with bias (solid) and 95 % "
                "limits of agreement (dashed).",
                lambda: bland_altman(models, lesion, looks),
            ),
            "sensitivity": (
                "Share of the reference's lesions that are found, by their size, with Wilson's 95 % intervals.",
                lambda: sensitivity_by_size(models, looks),
            ),
        }
    if free:
        drawn["lesion-free"] = (
            "Marked volume in each scan without lesion (line: mean; dashed: 1 mL).",
            lambda: marked_without_lesion(list(free), without, looks),
        )
    return drawn


def _saved(figure: Figure, path: Path) -> str:
    """Save as PNG and SVG; returns a smaller PNG in base64."""
    for ending in ("png", "svg"):
        figure.savefig(path.with_suffix(f".{ending}"), dpi=150)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()


def _facts(scores: Sequence[ScanScore], scans: Mapping[str, ReferenceScan], about: About) -> list[str]:
    lesion = {s.scan for s in scores if s.reference_ml > 0}
    free = {s.scan for s in scores if s.reference_ml == 0}
    persons = {scans[name].subject for name in lesion | free}
    facts = [
        f"Data set: {about.data}, {len(lesion | free)} scans of {len(persons)} persons: {len(lesion)} with a lesion, "
        f"{len(free)} without.",
        f"Reference model of the tests: {about.reference_model}." if about.reference_model else "No reference model.",
        about.brain or "No brain is known, so nothing is said about volumes outside it.",
        f"Written by meshnet-evaluate {__version__}. For research, not for diagnosis.",
    ]
    return facts


_TITLES = {
    "overlap": "Overlap, distances, lesions",
    "volume": "Volumes",
    "tests": "Tests against the reference model",
    "lesion-size": "Lesions found, by size",
    "lesion-free": "Scans without lesion",
}

#: Tables and figures in the order of the page.
_ORDER = ("overlap", "dice", "tests", "dice-by-volume", "volume", "bland-altman", "lesion-size", "sensitivity")


def _slug(kind: str) -> str:
    return kind.replace(" ", "-")


def _stratum_title(name: str) -> str:
    kind = name.removeprefix("by-").removesuffix("-lesion-free").replace("-", " ")
    return f"{'Scans without lesion, by' if name.endswith('-lesion-free') else 'By'} {kind}"


def _narrow(table: str) -> str:
    """The table with each interval in small type below its value."""
    return re.sub(r" (\[-?[\d.]+, -?[\d.]+\])", r"<br><small>\1</small>", table)


def _html(grids: Mapping[str, Grid], images: Mapping[str, tuple[str, str]], facts: Sequence[str], about: About) -> str:
    order = [*_ORDER, "lesion-free", *(name for name in grids if name.startswith("by-"))]
    parts = []
    for name in order:
        if name in grids:
            title = _TITLES.get(name) or _stratum_title(name)
            parts.append(f'<h2 id="{name}">{title}</h2><div class="wide">{_narrow(html_table(grids[name]))}</div>')
        if name in images:
            caption, data = images[name]
            text = html.escape(caption)
            parts.append(
                f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'
            )
    models = "".join(f"<li><b>{html.escape(m)}</b>: {html.escape(t)}</li>" for m, t in about.models.items())
    left = "".join(f"<li>{html.escape(line)}</li>" for line in about.left_out)
    definitions = "".join(
        f"<li><b>{html.escape(m.heading)}</b>: {html.escape(m.definition)}</li>" for m in MEASURES.values()
    )
    not_scored = f"<h2>Not scored</h2><ul>{left}</ul>" if left else ""
    return f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Evaluation on {html.escape(about.data)}</title>
<style>
body{{font:15px/1.5 system-ui,sans-serif;max-width:86em;margin:2em auto;padding:0 1em;color:#1b1b1b;background:#fff}}
h2{{margin:2em 0 .5em}} .wide{{overflow-x:auto}} table{{border-collapse:collapse;font-variant-numeric:tabular-nums}}
td,th{{padding:.35em .7em;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}}
thead th{{border-bottom:2px solid #888;white-space:normal;vertical-align:bottom}} tbody tr:hover{{background:#f4f6fa}}
.wide p{{color:#555;font-size:.9em;max-width:60em}} img{{max-width:100%}} figure{{margin:1.5em 0}}
figcaption{{color:#555;font-size:.9em}} small{{color:#666}} td{{vertical-align:top}}
</style>
<h1>Evaluation on {html.escape(about.data)}</h1>
<ul>{"".join(f"<li>{html.escape(fact)}</li>" for fact in facts)}</ul>
<ul>{models}</ul>
{"".join(parts)}
{not_scored}
<h2>Definitions</h2><ul>{definitions}</ul></html>
"""
