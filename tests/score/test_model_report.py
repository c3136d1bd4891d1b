"""Statistics, tables and figures of finished models, from simulated scores and from a few made by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from meshnet.score.data_set import ReferenceScan
from meshnet.score.model_figures import bland_altman, dice_by_model, sensitivity_by_size
from meshnet.score.model_report import About, write_model_report
from meshnet.score.model_summary import (
    SIZES_ML,
    quartile_edges_ml,
    strata,
    summarize_lesion_free,
    summarize_models,
)
from meshnet.score.model_tables import difference_table, overlap_table, size_table, volume_table
from meshnet.score.scan_scores import ScanScore
from meshnet.score.styles import styles
from tests.helpers.simulated_scan_scores import simulated

MODELS = {"poor": 0.4, "good": 0.9, "fair": 0.7}


@pytest.fixture(scope="module")
def scores() -> list[ScanScore]:
    return simulated(MODELS)[0]


@pytest.fixture(scope="module")
def scans() -> dict[str, ReferenceScan]:
    return simulated(MODELS)[1]


def test_models_come_by_decreasing_median_and_the_best_is_bold(scores: list[ScanScore]) -> None:
    models = summarize_models(scores, "fair")
    assert list(models) == ["good", "fair", "poor"]
    grid = overlap_table(models, "fair")
    assert [line[0].text for line in grid.lines] == ["good", "fair (reference)", "poor"]
    assert all(cell.bold for cell in grid.lines[0][2:4])
    assert not any(cell.bold for cell in grid.lines[2])


def test_a_mean_is_over_persons_whose_scans_are_averaged_first(scores: list[ScanScore]) -> None:
    own = [s for s in scores if s.model == "good" and s.reference_ml > 0]
    persons: dict[str, list[float]] = {}
    for s in own:
        persons.setdefault(s.subject, []).append(s.values["dice_lesion"])
    assert len(persons) < len(own)
    of = summarize_models(scores)["good"]
    row = of.measures["dice_lesion"]
    assert row.mean.value == pytest.approx(np.mean([np.mean(v) for v in persons.values()]))
    assert row.mean.interval[0] < row.mean.value < row.mean.interval[1]
    assert (of.scans, of.persons) == (len(own), len(persons))
    assert row.difference is None


def test_a_difference_is_paired_by_person_and_holm_corrected(scores: list[ScanScore]) -> None:
    better = [
        replace(s, model="better", values={n: v + 0.1 for n, v in s.values.items()})
        for s in scores
        if s.model == "fair"
    ]
    models = summarize_models([*scores, *better], "fair")
    row = models["better"].measures["dice_lesion"]
    assert row.difference is not None
    assert row.difference.value == pytest.approx(0.1)
    assert row.summary.p < 1e-8
    assert models["good"].measures["dice_lesion"].summary.p_holm >= models["good"].measures["dice_lesion"].summary.p
    table = difference_table(models, "fair")
    assert [line[0].text for line in table.lines] == [m for m in models if m != "fair"]
    assert "<0.001 ***" in [cell.text for cell in table.lines[0]]


def test_sensitivity_counts_each_lesion_in_its_size_class() -> None:
    def score(scan: str, lesions: tuple[float, ...], found: tuple[bool, ...]) -> ScanScore:
        values = simulated({"m": 0.5}, persons=1)[0][0].values
        return ScanScore("m", scan, scan, sum(lesions), 1.0, values, lesions, found)

    models = summarize_models([score("a", (0.1, 0.11, 60.0), (False, True, True)), score("b", (0.05,), (True,))])
    assert SIZES_ML[:2] == (0.1, 0.5)
    assert models["m"].sensitivity == ((1, 2), (1, 1), (0, 0), (0, 0), (0, 0), (1, 1))
    texts = [cell.text for cell in size_table(models).lines[0]]
    assert texts[1].startswith("0.50 [")
    assert texts[1].endswith("(1/2)")
    assert texts[3] == "–"


def test_strata_are_by_quartile_of_the_data_set_acquisition_and_centre(
    scores: list[ScanScore], scans: dict[str, ReferenceScan]
) -> None:
    lesion = [s for s in scores if s.reference_ml > 0]
    found = strata(lesion, scans)
    assert set(found) == {"lesion volume", "acquisition", "centre"}
    low, _, high = quartile_edges_ml(lesion)
    groups = list(found["lesion volume"].values())
    assert len(groups) == 4
    assert all(s.reference_ml <= low for s in groups[0])
    assert all(s.reference_ml > high for s in groups[3])
    assert set(found["centre"]) == {"north", "south", "west"}
    assert sum(len(group) for group in found["acquisition"].values()) == len(lesion)


def test_scans_without_a_lesion_are_summarised_by_their_marked_volume(scores: list[ScanScore]) -> None:
    free = summarize_lesion_free(scores)
    own = [s for s in scores if s.model == "poor" and s.reference_ml == 0]
    assert free["poor"].scans == len(own)
    assert free["poor"].largest_ml == max(s.result_ml for s in own)
    assert free["poor"].share_right == np.mean([s.result_ml <= 1 for s in own])
    assert list(free) == sorted(free, key=lambda m: free[m].marked_ml.value)


def test_a_model_that_marks_nothing_is_counted(scores: list[ScanScore]) -> None:
    blank = [replace(s, model="blank", result_ml=0.0) for s in scores if s.model == "good"]
    grid = overlap_table(summarize_models([*scores, *blank]))
    assert any("blank in 62 of 62" in note and "the diagonal of the image" in note for note in grid.notes)
    fewer = [s for s in scores if not (s.model == "poor" and s.subject > "030")]
    assert any("scored on different scans" in note for note in overlap_table(summarize_models(fewer)).notes)


def test_the_volume_table_has_agreement_with_intervals(scores: list[ScanScore]) -> None:
    models = summarize_models(scores)
    grid = volume_table(models)
    icc = grid.lines[0][grid.head.index("ICC(2,1) ↑")].text
    assert icc.startswith(f"{models['good'].volumes.icc:.3f} [")  # type: ignore[union-attr]
    assert " to " in grid.lines[0][grid.head.index("Limits of agreement [mL]")].text


def test_the_figures_show_every_model_and_its_limits(scores: list[ScanScore]) -> None:
    models, looks = summarize_models(scores, "fair"), styles(list(MODELS))
    lesion = [s for s in scores if s.reference_ml > 0]
    axes = dice_by_model(models, lesion, looks, "fair").axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == list(models)
    texts = [(t.get_text(), t.get_color()) for t in axes.texts]
    assert ("reference", "black") in texts
    assert texts.count(("***", "red")) == 2
    panels = bland_altman(models, lesion, looks).axes
    assert [p.get_title() for p in panels] == list(models)
    bias = models["good"].volumes
    assert bias is not None
    heights = [line.get_ydata()[0] for line in panels[0].lines]
    assert heights == pytest.approx([0, bias.bias_ml, *bias.limits_ml])
    legend = sensitivity_by_size(models, looks).axes[0].get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == list(models)


def test_a_report_is_written_for_scans_without_a_lesion_alone(
    scores: list[ScanScore], scans: dict[str, ReferenceScan], tmp_path: Path
) -> None:
    free = [s for s in scores if s.reference_ml == 0]
    about = About("data & more", {"good": "a < b"}, "", "", ["x: why"])
    grids = write_model_report(free, scans, tmp_path, about)
    assert "lesion-free" in grids
    assert "overlap" not in grids
    page = (tmp_path / "report.html").read_text()
    assert "Evaluation on data &amp; more" in page
    assert "a &lt; b" in page
    assert "x: why" in page
    assert not math.isnan(free[0].result_ml)


def test_a_report_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no scan was scored"):
        write_model_report([], {}, tmp_path / "out", About("d", {}, "", "", []))
    assert not (tmp_path / "out").exists()
