"""The content of the report's tables and figures, for fourteen models with simulated scores."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from meshnet.score.figures import box_plots, pareto
from meshnet.score.panels import choose_cases, contours
from meshnet.score.report import make_table, observations
from meshnet.score.restarts import count_runs, mark_collapsed
from meshnet.score.scores import METRICS, Score
from meshnet.score.styles import styles
from meshnet.score.summary import Summary, per_subject
from meshnet.score.tables import Grid, all_metrics, latex, markdown, table1, write_all_csv
from meshnet.train.collapse import ALL_BACKGROUND
from tests.helpers.simulated_scores import MODELS, simulate

REFERENCE = "MeshNet-26"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prepared")


@pytest.fixture(scope="module")
def scores(data: Path) -> list[Score]:
    return simulate(data)


def drawn(figure: Figure) -> FigureCanvasAgg:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas


def test_figure_1_ranks_by_the_median_where_the_mean_would_rank_otherwise() -> None:
    values = {"a": [0.1, 0.72, 0.73], "b": [0.70, 0.717, 0.72], "c": [0.7, 0.707, 0.99]}
    scores = [
        Score(m, 1, i, 0, f"s{i}", f"s{i}", Path(), dict.fromkeys(METRICS, v))
        for m, of_model in values.items()
        for i, v in enumerate(of_model)
    ]
    table = make_table(scores, "a")
    assert list(table) == ["a", "b", "c"]
    figure = box_plots(
        per_subject(observations(scores, "dice_macro")), {m: r["dice_macro"] for m, r in table.items()}, "a"
    )
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize(("metric", "name"), [("dice_macro", "DICE (macro"), ("dice_lesion", "lesion Dice")])
def test_figures_1_and_2_name_their_dice_on_the_axis(scores: list[Score], metric: str, name: str) -> None:
    table = {m: row[metric] for m, row in make_table(scores, REFERENCE, metric).items()}
    boxes = box_plots(per_subject(observations(scores, metric)), table, REFERENCE, metric=metric)
    assert boxes.axes[0].get_ylabel().startswith(name)
    scatter = pareto(table, dict(MODELS), metric=metric)
    assert scatter.axes[0].get_ylabel().startswith(f"median {name}")
    assert scatter.axes[0].get_xlabel() == "1 / parameters (log)"


def test_asterisks_are_red_and_stand_above_the_models_that_differ_from_the_reference(scores: list[Score]) -> None:
    table = {m: row["dice_macro"] for m, row in make_table(scores, REFERENCE).items()}
    figure = box_plots(per_subject(observations(scores, "dice_macro")), table, REFERENCE)
    models = list(table)
    marks = {models[round(t.get_position()[0]) - 1]: t for t in figure.axes[0].texts}
    differ = {m for m, s in table.items() if s.p_holm < 0.05}
    assert 0 < len(differ) < len(MODELS) - 1
    assert {m for m, t in marks.items() if "*" in t.get_text()} == differ
    assert {to_rgb(marks[m].get_color()) for m in differ} == {(1.0, 0.0, 0.0)}
    assert marks[REFERENCE].get_text() == "ref."


def test_fourteen_models_have_distinct_colours_and_markers() -> None:
    of = list(styles([title for title, _ in MODELS]).values())
    assert len({s.marker for s in of}) == 14
    apart = [np.linalg.norm(np.subtract(to_rgb(a.colour), to_rgb(b.colour))) for a, b in itertools.combinations(of, 2)]
    assert min(apart) > 0.2


@pytest.mark.parametrize("seed", range(3))
def test_names_in_figure_2_collide_with_nothing_and_stay_in_the_axes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    medians = 0.8 + 0.001 * rng.random(14) if seed == 0 else rng.uniform(0.7, 0.9, 14)  # seed 0: all at one height
    table = {t: summary_of(t, float(m)) for (t, _), m in zip(MODELS, medians, strict=True)}
    figure = pareto(table, dict(MODELS))
    figure.set_dpi(150)  # a file's resolution differs from the screen's
    renderer = drawn(figure).get_renderer()
    axes = figure.axes[0]
    labels = [text for text in axes.texts if isinstance(text, Annotation)]
    assert sorted(label.get_text() for label in labels) == sorted(title for title, _ in MODELS)
    boxes = [Text.get_window_extent(label, renderer) for label in labels]
    frame = axes.get_window_extent()
    assert all(frame.contains(b.x0, b.y0) and frame.contains(b.x1, b.y1) for b in boxes)
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    markers = [axes.transData.transform((1 / n, table[t].median)) for t, n in MODELS]
    assert not any(box.contains(*marker) for box in boxes for marker in markers)


def summary_of(model: str, median: float) -> Summary:
    return Summary(model, 9, median, median, (median - 0.05, median + 0.05), 0.01, 0.05)


def test_the_subjects_of_figure_3_are_the_largest_one_of_each_quartile_and_the_disputed() -> None:
    voxels = {f"s{n:02d}": 100 * n for n in range(1, 21)}
    dice = {name: [0.8, 0.8] for name in voxels} | {"s03": [0.1, 0.9], "s10": [0.2, 0.9], "s17": [0.3, 0.9]}
    cases = choose_cases(voxels, dice, seed=1)
    assert cases[0].name == "s20"
    assert cases[0].reason == "most lesion"
    assert [c.reason for c in cases[1:5]] == [f"quartile {n}" for n in (1, 2, 3, 4)]
    assert [voxels[c.name] for c in cases[1:5]] == sorted(voxels[c.name] for c in cases[1:5])
    disputed = [name for name in ("s03", "s10", "s17") if name not in {c.name for c in cases[:5]}]
    assert [c.name for c in cases[5:]][: len(disputed)] == disputed
    assert len({c.name for c in cases}) == 8
    assert choose_cases(voxels, dice, seed=1) == cases
    assert any(choose_cases(voxels, dice, seed=seed) != cases for seed in range(2, 6))


def test_figure_3_overlays_five_named_models_and_the_reference_in_eight_panels(scores: list[Score], data: Path) -> None:
    models = ["MeshNet-26", "MeshNet-16", "MeshNet-5", "SegResNet", "U-KAN"]
    figure = contours(scores, data, models)
    renderer = drawn(figure).get_renderer()
    assert [axes.get_title()[:3] for axes in figure.axes] == [f"({letter})" for letter in "abcdefgh"]
    for axes in figure.axes:
        said = [text.get_text() for text in axes.texts]
        assert said[:2] == ["R", "L"]
        assert said[2] == "50 mm"
        name = next(s.name for s in scores if f"{s.subject}," in axes.get_title())
        values = [s.values["dice_macro"] for m in models for s in scores if (s.model, s.name) == (m, name)]
        assert said[3:8] == [f"{value:.3f}" for value in values]
        assert len({text.get_color() for text in axes.texts[3:8]}) == 5
        assert 4 <= len(axes.collections) <= 6  # one contour each; a model may mark nothing on the slice
        frame = axes.get_window_extent(renderer)
        assert all(frame.contains(*text.get_window_extent(renderer).min) for text in axes.texts)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["reference (expert)", *models]
    assert len({line.get_color() for line in legend.get_lines()}) == 6


def grids(scores: list[Score]) -> tuple[Grid, Grid]:
    table, parameters, runs = make_table(scores, REFERENCE), dict(MODELS), count_runs(scores)
    return table1(table, parameters, runs, REFERENCE), all_metrics(table, parameters, runs, REFERENCE)


def test_table_1_has_the_papers_columns_with_arrows_best_in_bold_and_the_reference_marked(scores: list[Score]) -> None:
    grid, wide = grids(scores)
    assert grid.head == ["Model", "Parameters", "DICE ↑", "p", "AVD ↓", "p", "MCC ↑", "p"]
    assert len(wide.head) == 11
    for column, best in ((2, max), (4, min), (6, max)):
        means = [float(line[column].text.split(" ")[0]) for line in grid.lines]
        assert [line[column].bold for line in grid.lines] == [mean == best(means) for mean in means]
    (reference,) = [line for line in grid.lines if line[0].text == "MeshNet-26 (reference)"]
    assert [reference[c].text for c in (3, 5, 7)] == ["reference"] * 3
    starred = [line[3].text for line in grid.lines if "*" in line[3].text]
    assert starred
    assert all(float(text.split(" ")[0].strip("<")) < 0.05 for text in starred)


def test_markdown_and_latex_escape_what_they_would_read_as_markup(scores: list[Score]) -> None:
    grid, _ = grids(scores)
    text = markdown(grid)
    assert r"<0.001 \*\*\*" in text
    assert text.count("**") == 2 * sum(cell.bold for line in grid.lines for cell in line)
    assert r"DICE $\uparrow$" in latex(grid)
    assert r"\textbf{" in latex(grid)


def test_collapsed_runs_and_scans_without_prediction_are_counted_in_the_tables(
    scores: list[Score], tmp_path: Path
) -> None:
    fails = [s for s in scores if s.model == "U-KAN" and s.fold == 0]
    empty = [replace(s, empty=True, values=s.values | {"hd95_mm": 327.4, "dice_lesion": 0.0}) for s in fails]
    marked = mark_collapsed(empty, "")
    assert {s.collapsed for s in marked} == {ALL_BACKGROUND}
    grid, wide = grids([s for s in scores if s not in fails] + marked)
    (line,) = [line for line in grid.lines if line[0].text.startswith("U-KAN")]
    assert line[0].text == "U-KAN †"
    assert any("U-KAN 1 of 3" in note for note in grid.notes)
    (line,) = [line for line in wide.lines if line[0].text.startswith("U-KAN")]
    assert [cell.text for cell in line[-2:]] == ["3 (1)", "18 (6)"]
    table = make_table(marked, "")
    write_all_csv(tmp_path / "all.csv", table, dict(MODELS))
    with (tmp_path / "all.csv").open(newline="") as file:
        assert not any("inf" in row.values() for row in csv.DictReader(file))


def test_a_run_that_predicts_something_is_not_marked(scores: list[Score]) -> None:
    own = [s for s in scores if s.model == "U-KAN" and s.fold == 1]
    assert mark_collapsed(own, "") == own
    assert {s.collapsed for s in mark_collapsed(own, "loss never fell")} == {"loss never fell"}
